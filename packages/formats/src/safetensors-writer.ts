// Writes safetensors as the reference implementation does: tensors by falling element size, then by name,
// so that equal content gives equal bytes; the header padded with spaces to a multiple of eight.
import type { ByteSink } from './byte-sink.ts';
import { safetensorsDtypes, type SafetensorsDtype } from './safetensors-dtypes.ts';
import { writeTensorData, type TensorData } from './tensor-data.ts';

export interface SafetensorsTensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SafetensorsToWrite {
  readonly metadata?: ReadonlyMap<string, string>;
  readonly tensors: readonly SafetensorsTensorToWrite[];
}

/** Bytes of a tensor as stored. */
export const byteLength = ({ dtype, shape }: SafetensorsTensorToWrite): number =>
  shape.reduce((product, dim) => product * dim, safetensorsDtypes[dtype]);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function buildHeader(
  metadata: ReadonlyMap<string, string>,
  tensors: readonly SafetensorsTensorToWrite[],
): Uint8Array {
  const entries: [string, unknown][] = [];
  if (metadata.size > 0) entries.push(['__metadata__', Object.fromEntries(metadata)]);
  const names = new Set<string>();
  let offset = 0;
  for (const tensor of tensors) {
    if (names.has(tensor.name) || tensor.name === '__metadata__')
      throw new RangeError(`the tensor name "${tensor.name}" is taken`);
    names.add(tensor.name);
    const end = offset + byteLength(tensor);
    const { dtype, shape } = tensor;
    entries.push([tensor.name, { dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/**
 * Streams header, then tensors, one (or a piece of one) in memory at a time. RangeError when a name stands twice or a tensor's
 * data has another length than its shape says.
 */
export async function writeSafetensors(sink: ByteSink, file: SafetensorsToWrite): Promise<void> {
  const tensors = [...file.tensors].sort(
    (a, b) =>
      safetensorsDtypes[b.dtype] - safetensorsDtypes[a.dtype] ||
      compareText(a.dtype, b.dtype) ||
      compareText(a.name, b.name),
  );
  await sink.write(buildHeader(file.metadata ?? new Map(), tensors));
  for (const tensor of tensors) {
    await writeTensorData(sink, tensor, byteLength(tensor));
  }
}
