import { describe, expect, it } from 'vitest';
import { add, fill, greaterEqual, input, mul } from '../graph/ops.ts';
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

  it('do not cross an operation without a rule', () => {
    expect(() => gradients(greaterEqual(x, fill(0)), dy, [x])).toThrow(
      'no gradient of greater_equal',
    );
    expect(() => gradients(mul(x, greaterEqual(fill(0), fill(1))), dy, [x])).not.toThrow();
  });
});
