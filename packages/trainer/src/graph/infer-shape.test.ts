import { describe, expect, it } from 'vitest';
import { broadcastShapes } from './infer-shape.ts';
import { add, attentionBlock, concat, fill, input, matmul, reshape, rope, slice } from './ops.ts';

const x = (...shape: number[]) => input('x', shape);

describe('shapes', () => {
  it.each([
    [[3, 4], [4], [3, 4]],
    [
      [3, 1],
      [2, 1, 4],
      [2, 3, 4],
    ],
    [[], [2], [2]],
    [[3], [2], null],
  ])('broadcast %j with %j to %j', (a, b, expected) => {
    expect(broadcastShapes(a, b)).toEqual(expected);
  });

  it('follow products, transposed or not', () => {
    expect(matmul(x(2, 3, 4), x(2, 5, 4), { transposeB: true }).shape).toEqual([2, 3, 5]);
    expect(matmul(x(4, 3), x(4, 5), { transposeA: true }).shape).toEqual([3, 5]);
  });

  it('leave a value alone where an operation would change nothing', () => {
    const value = x(3, 4);
    expect(slice(value, 0, [0, 3])).toBe(value);
    expect(reshape(value, [3, 4])).toBe(value);
    expect(concat([value], 0)).toBe(value);
  });
});

describe('a wrong graph fails where it is built, with the shapes at fault', () => {
  const rotation = {
    positions: input('positions', [2, 3], 'int64'),
    cos: x(8, 2),
    sin: x(8, 2),
  };
  it.each([
    ['add', () => add(x(3), x(4)), '[3] and [4]'],
    ['matmul', () => matmul(x(2, 3), x(4, 5)), 'do not multiply'],
    ['matmul of other batches', () => matmul(x(2, 3, 4), x(1, 4, 5)), 'do not multiply'],
    ['reshape', () => reshape(x(3, 4), [5]), 'cannot become [5]'],
    ['slice', () => slice(x(3, 4), 1, [2, 6]), '[2, 6) is outside axis 1'],
    ['concat', () => concat([x(3, 4), x(2, 5)], 0), 'shapes differ'],
    ['rope', () => rope(x(2, 1, 3, 6), rotation), 'cos and sin [P, D/2]'],
    [
      'attention',
      () => attentionBlock(x(2, 4, 4), x(2, 3, 4), x(2, 3, 4), { mask: x(1, 1, 2, 4), scale: 1 }),
      'mask [B, 1, Q, S]',
    ],
  ])('%s', (_, build, message) => {
    expect(build).toThrow(message);
  });

  it('keeps scalars scalar', () => {
    expect(add(fill(1), fill(2)).shape).toEqual([]);
  });
});
