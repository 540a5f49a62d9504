import { expect, test } from 'vitest';
import { input, matmul, scale, sigmoid, silu, mul } from '../graph/ops.ts';
import { liveBytes } from './session-memory.ts';

const x = input('x', [4, 8]);
const w = input('w', [8, 8]);
/** Bytes of [4, 8] in float32. */
const one = 128;
const live = (...results: readonly ReturnType<typeof matmul>[]): number =>
  liveBytes({ outputs: new Map(results.map((value, at) => [`y${at}`, value])) });

test('inputs and results belong to the caller', () => {
  expect(live(matmul(x, w))).toBe(0);
});

test('a value counts until its last use', () => {
  const a = matmul(x, w);
  expect(live(matmul(a, w))).toBe(one);
  expect(live(matmul(matmul(a, w), w))).toBe(2 * one);
});

test('a chain of element-wise operations works in one buffer, unless the value is wanted later', () => {
  const a = matmul(x, w);
  expect(live(matmul(scale(sigmoid(a), 2), w))).toBe(one);
  expect(live(matmul(mul(a, sigmoid(a)), w))).toBe(2 * one);
});

test('a composite counts as what it is made of', () => {
  const a = matmul(x, w);
  expect(live(matmul(silu(a), w))).toBe(live(matmul(mul(a, sigmoid(a)), w)));
});

test('what another graph hands over is not counted', () => {
  const a = matmul(x, w);
  const outputs = new Map([['y', matmul(a, w)]]);
  expect(liveBytes({ outputs, given: new Map([[a, 'saved']]) })).toBe(0);
});
