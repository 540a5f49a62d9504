// Collects ONNX nodes by value numbering: asking twice for the same computation gives the same tensor,
// so composites that share a part (a forward pass and its own gradient) compute it once. Knows the ONNX
// format, not the trainer's operations.
import { create, toBinary } from '@bufbuild/protobuf';
import type { AttributeProto, NodeProto, TensorProto, ValueInfoProto } from 'onnx-buf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';

/** Opset 21 and its IR version: the newest that the kernels used here were measured with. */
const opset = 21;
const irVersion = 10;
const microsoft = 'com.microsoft';

/** A float attribute is written `{ float: x }`, because a JavaScript number does not say which it is. */
type Attribute = number | string | readonly number[] | { readonly float: number };

export interface NodeSpec {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Contributed operators of ONNX Runtime live in a domain of their own. */
  readonly domain?: 'com.microsoft';
  readonly outputs?: number;
}

/** Element types of tensors that enter, leave or are stored in a model. */
type TensorDType = 'float32' | 'int64' | 'int8' | 'uint8';

export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: TensorDType;
}

/** A serialised model and the tensors it takes and gives. */
export interface OnnxModel {
  readonly bytes: Uint8Array;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
}

interface OutputInfo extends TensorInfo {
  /** The tensor that holds the result. */
  readonly from: string;
}

export interface Emitter {
  /** @returns the names of the node's outputs */
  emit(spec: NodeSpec): readonly string[];
  /** An int64 vector known at build time. */
  integers(values: readonly number[]): string;
  /** A float32 tensor of one repeated number. */
  filled(value: number, shape: readonly number[]): string;
  /** A uint8 scalar. */
  byte(value: number): string;
  finish(
    inputs: readonly TensorInfo[],
    outputs: readonly (TensorInfo & { from: string })[],
  ): OnnxModel;
}

const { FLOAT, INT64, INT8, UINT8 } = TensorProto_DataType;
const protoTypes: Record<TensorDType, TensorProto_DataType> = {
  float32: FLOAT,
  int64: INT64,
  int8: INT8,
  uint8: UINT8,
};

const attributeProto = (name: string, value: Attribute): AttributeProto => {
  if (typeof value === 'number') {
    const type = AttributeProto_AttributeType.INT;
    return create(AttributeProtoSchema, { name, type, i: BigInt(value) });
  }
  if (typeof value === 'string') {
    const type = AttributeProto_AttributeType.STRING;
    return create(AttributeProtoSchema, { name, type, s: new TextEncoder().encode(value) });
  }
  if ('float' in value) {
    const type = AttributeProto_AttributeType.FLOAT;
    return create(AttributeProtoSchema, { name, type, f: value.float });
  }
  const type = AttributeProto_AttributeType.INTS;
  return create(AttributeProtoSchema, { name, type, ints: value.map(BigInt) });
};

const valueInfo = ({ name, shape, dtype }: TensorInfo): ValueInfoProto => {
  const dim = shape.map((extent) =>
    create(TensorShapeProto_DimensionSchema, {
      value: { case: 'dimValue', value: BigInt(extent) },
    }),
  );
  const value = create(TypeProto_TensorSchema, {
    elemType: protoTypes[dtype],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  const type = create(TypeProtoSchema, { value: { case: 'tensorType', value } });
  return create(ValueInfoProtoSchema, { name, type });
};

type StoredArray = Float32Array | BigInt64Array | Uint8Array;

const bytesOf = (array: StoredArray): Uint8Array<ArrayBuffer> =>
  new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);

const dtypeOf = (array: StoredArray): TensorDType => {
  if (array instanceof Float32Array) return 'float32';
  return array instanceof Uint8Array ? 'uint8' : 'int64';
};

/** Above this a repeated number is made by a node when the session is created, not stored in the model. */
const largestStoredFill = 4096;

/** Gives results their names; one that is fed, constant or asked for twice is copied under its name. */
const nameOutputs = (nodes: readonly NodeProto[], outputs: readonly OutputInfo[]): NodeProto[] => {
  const renames = new Map<string, string>();
  const computed = new Set(nodes.flatMap((node) => node.output));
  const copies: NodeProto[] = [];
  for (const { name, from } of outputs) {
    if (computed.has(from) && !renames.has(from)) renames.set(from, name);
    else
      copies.push(create(NodeProtoSchema, { opType: 'Identity', input: [from], output: [name] }));
  }
  const rename = (name: string): string => renames.get(name) ?? name;
  for (const node of [...nodes, ...copies]) {
    node.input = node.input.map(rename);
    node.output = node.output.map(rename);
  }
  return copies;
};

interface Parts {
  readonly nodes: readonly NodeProto[];
  readonly initializers: TensorProto[];
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly OutputInfo[];
}

const serialise = ({ nodes, initializers, inputs, outputs }: Parts): OnnxModel => {
  const graph = create(GraphProtoSchema, {
    name: 'corral',
    node: [...nodes, ...nameOutputs(nodes, outputs)],
    input: inputs.map(valueInfo),
    output: outputs.map(valueInfo),
    initializer: initializers,
  });
  const opsetImport = [
    create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opset) }),
    create(OperatorSetIdProtoSchema, { domain: microsoft, version: 1n }),
  ];
  const model = create(ModelProtoSchema, { irVersion: BigInt(irVersion), opsetImport, graph });
  return { bytes: toBinary(ModelProtoSchema, model), inputs, outputs };
};

/** Tensors are named `#0`, `#1`, ...: no input is called that. */
export const createEmitter = (): Emitter => {
  const nodes: NodeProto[] = [];
  const initializers: TensorProto[] = [];
  const known = new Map<string, readonly string[]>();
  let count = 0;
  const once = (key: string, make: () => readonly string[]): readonly string[] => {
    const names = known.get(key) ?? make();
    known.set(key, names);
    return names;
  };

  const emit = (spec: NodeSpec): readonly string[] =>
    once(JSON.stringify(spec), () => {
      const { type, inputs, attributes = {}, domain = '', outputs = 1 } = spec;
      const output = Array.from({ length: outputs }, () => `#${count++}`);
      const attribute = Object.entries(attributes).map(([name, value]) =>
        attributeProto(name, value),
      );
      const name = `${type}_${nodes.length}`;
      nodes.push(
        create(NodeProtoSchema, {
          opType: type,
          name,
          domain,
          input: [...inputs],
          output,
          attribute,
        }),
      );
      return output;
    });

  const constant = (array: StoredArray, shape: readonly number[]): string => {
    const name = `#${count++}`;
    const dataType = protoTypes[dtypeOf(array)];
    const dims = shape.map(BigInt);
    initializers.push(create(TensorProtoSchema, { name, dataType, dims, rawData: bytesOf(array) }));
    return name;
  };

  const integers = (values: readonly number[]): string =>
    once(`integers ${values.join()}`, () => [
      constant(BigInt64Array.from(values, BigInt), [values.length]),
    ])[0] ?? '';

  const filled = (value: number, shape: readonly number[]): string => {
    const length = shape.reduce((n, extent) => n * extent, 1);
    if (length > largestStoredFill) {
      const inputs = [filled(value, []), integers(shape)];
      return emit({ type: 'Expand', inputs })[0] ?? '';
    }
    const key = `filled ${value} ${shape.join()}`;
    return once(key, () => [constant(new Float32Array(length).fill(value), shape)])[0] ?? '';
  };

  const byte = (value: number): string =>
    once(`byte ${value}`, () => [constant(Uint8Array.of(value), [])])[0] ?? '';

  return {
    emit,
    integers,
    filled,
    byte,
    finish: (inputs, outputs) => serialise({ nodes, initializers, inputs, outputs }),
  };
};
