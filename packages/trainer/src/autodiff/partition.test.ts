import { describe, expect, it } from 'vitest';
import { ancestors } from '../graph/graph.ts';
import { input, matmul, mul, rmsNorm, silu } from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';
import { gradients } from './gradients.ts';
import { partition } from './partition.ts';

/** x → norm → two products with weights → silu and product → product: an MLP of the given width. */
const mlp = (width: number) => {
  const x = input('x', [32, width]);
  const [norm, up, gate] = [
    input('norm', [width]),
    input('up', [2 * width, width]),
    input('gate', [2 * width, width]),
  ];
  const down = input('down', [width, 2 * width]);
  const dy = input('dy', [32, width]);
  const normed = rmsNorm(x, norm, 1e-5);
  const opened = matmul(normed, up, { transposeB: true });
  const gated = matmul(normed, gate, { transposeB: true });
  const activated = mul(silu(gated), opened);
  const y = matmul(activated, down, { transposeB: true });
  const [dx = dy, dDown = dy] = gradients(y, dy, [x, down]);
  return {
    joint: {
      forward: new Map([['y', y]]),
      backward: new Map([
        ['dx', dx],
        ['d_down', dDown],
      ]),
      free: new Set<Value>([x, norm, up, gate, down, dy]),
    },
    opened,
    gated,
  };
};

describe('partition', () => {
  it('keeps products with weights; norms and activations are computed again', () => {
    const { joint, opened, gated } = mlp(512);
    const { saved, forward, backward } = partition(joint);
    expect(new Set(saved.values())).toEqual(new Set([opened, gated]));
    expect([...forward.outputs.keys()]).toEqual(['y', ...saved.keys()]);
    const again = ancestors(backward.outputs.values(), backward.given).map(({ kind }) => kind);
    expect(again).toContain('rms_norm');
    expect(again).toContain('silu');
  });

  it('keeps nothing when memory has no price that is worth it', () => {
    const { saved, forward } = partition(mlp(512).joint, { memoryPrice: Infinity });
    expect(saved.size).toBe(0);
    expect([...forward.outputs.keys()]).toEqual(['y']);
  });

  it('keeps everything the backward pass touches when memory is free', () => {
    const { joint } = mlp(512);
    const { backward, saved } = partition(joint, { memoryPrice: 0 });
    const values = ancestors(backward.outputs.values(), backward.given);
    const isForward = (value: Value) => ancestors(joint.forward.values()).includes(value);
    const again = values.filter(
      (value) => isForward(value) && !joint.free.has(value) && ![...saved.values()].includes(value),
    );
    expect(again).toEqual([]);
  });
});
