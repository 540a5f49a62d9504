import { describe, expect, it } from 'vitest';
import { add, concat, fill, greaterEqual, input, mul, slice } from '../graph/ops.ts';
import { gradients } from './gradients.ts';

const x = input('x', [2, 3]);
const dy = input('dy', [2, 3]);

describe('gradients', () => {
  it('adds up what arrives by several ways', () => {
    const [dx] = gradients(add(x, x), dy, [x]);
    expect(dx).toMatchObject({ kind: 'add', inputs: [dy, dy] });
  });

  it('of a value that does not matter are zeros of its shape', () => {
    const other = input('other', [4]);
    expect(gradients(mul(x, x), dy, [other])).toMatchObject([
      { kind: 'fill', attributes: { value: 0 }, shape: [4] },
    ]);
  });

  it('have the shape of what was broadcast', () => {
    const row = input('row', [3]);
    expect(gradients(mul(x, row), dy, [row])[0]?.shape).toEqual([3]);
  });

  it('of pieces that fill a value lie side by side, those of pieces that overlap are added', () => {
    const piece = (start: number, end: number) => slice(x, 1, [start, end]);
    const [whole] = gradients(concat([piece(1, 3), piece(0, 1)], 1), dy, [x]);
    expect(whole).toMatchObject({
      kind: 'concat',
      attributes: { axis: 1 },
      inputs: [
        { kind: 'slice', attributes: { start: 2, end: 3 } },
        { kind: 'slice', attributes: { start: 0, end: 2 } },
      ],
    });
    const wide = input('wide', [2, 4]);
    const [overlapping] = gradients(concat([piece(0, 2), piece(1, 3)], 1), wide, [x]);
    expect(overlapping?.kind).toBe('add');
    const narrow = input('narrow', [2, 2]);
    const [gap] = gradients(concat([piece(0, 1), piece(2, 3)], 1), narrow, [x]);
    expect(gap?.kind).toBe('add');
  });

  it('do not cross an operation without a rule', () => {
    expect(() => gradients(greaterEqual(x, fill(0)), dy, [x])).toThrow(
      'no gradient of greater_equal',
    );
    expect(() => gradients(mul(x, greaterEqual(fill(0), fill(1))), dy, [x])).not.toThrow();
  });
});
