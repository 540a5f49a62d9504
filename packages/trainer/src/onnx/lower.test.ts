import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import {
  add,
  input,
  inverseRms,
  linearCrossEntropy,
  matmul,
  mul,
  pick,
  softmax,
} from '../graph/ops.ts';
import { lower } from './lower.ts';

const x = input('x', [2, 4]);
const w = input('w', [4]);

const nodesOf = (graph: Graph) =>
  fromBinary(ModelProtoSchema, lower(graph).bytes).graph?.node ?? [];
const typesOf = (graph: Graph) => nodesOf(graph).map(({ opType }) => opType);

describe('lower', () => {
  it('leaves out what no result needs, inputs too', () => {
    mul(x, w);
    const model = lower({ outputs: new Map([['y', add(x, x)]]) });
    expect(model.inputs).toEqual([{ name: 'x', shape: [2, 4], dtype: 'float32' }]);
    expect(typesOf({ outputs: new Map([['y', add(x, x)]]) })).toEqual(['Add']);
  });

  it('computes equal things once, though they were written twice', () => {
    const table = input('table', [8, 4]);
    const labels = input('labels', [2], 'int64');
    const loss = linearCrossEntropy(x, table, labels);
    const likely = pick(softmax(matmul(x, table, { transposeB: true })), labels);
    const types = typesOf({
      outputs: new Map([
        ['loss', loss],
        ['likely', likely],
      ]),
    });
    expect(types.filter((type) => type === 'FusedMatMul')).toHaveLength(1);
    expect(types.filter((type) => type === 'Softmax')).toHaveLength(1);
  });

  it('takes the inverse root mean square from no second result of a kernel, which WebGPU lacks', () => {
    const types = typesOf({ outputs: new Map([['r', inverseRms(x, 1e-5)]]) });
    expect(types).toEqual(['ReduceSumSquare', 'Mul', 'Add', 'Sqrt', 'Reciprocal']);
  });

  it('feeds given values and does not look behind them', () => {
    const kept = mul(x, w);
    const model = lower({
      outputs: new Map([['y', add(kept, kept)]]),
      given: new Map([[kept, 'kept']]),
    });
    expect(model.inputs.map(({ name }) => name)).toEqual(['kept']);
  });

  it('names results at their node; only what is fed or asked for twice is copied', () => {
    const y = add(x, x);
    const named = nodesOf({
      outputs: new Map([
        ['y', y],
        ['more', mul(y, y)],
      ]),
    });
    expect(named.map(({ opType, input: from, output }) => [opType, ...from, ...output])).toEqual([
      ['Add', 'x', 'x', 'y'],
      ['Mul', 'y', 'y', 'more'],
    ]);
    expect(
      typesOf({
        outputs: new Map([
          ['a', y],
          ['b', y],
          ['c', x],
        ]),
      }),
    ).toEqual(['Add', 'Identity', 'Identity']);
  });
});
