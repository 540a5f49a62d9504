import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cachesOf, emptyStateBytes, withCaches } from './sequence-state.ts';

/** As llama.cpp writes it: magic, sequence, number of caches, cells of each. */
function stateOf(caches: number, own: number, cells: readonly number[]): Uint8Array {
  const counts = Array.from({ length: caches }, (_, i) =>
    i === own && cells.length > 0 ? [cells.length, ...cells] : [0],
  );
  return new Uint8Array(Uint32Array.from([0xabcd, 7, caches, ...counts.flat()]).buffer);
}

const caches = fc.integer({ min: 1, max: 20 });

describe('withCaches', () => {
  it('makes the state that a context with another number of caches would save', () => {
    fc.assert(
      fc.property(caches, caches, fc.nat(19), fc.array(fc.nat(9)), (from, to, at, cells) => {
        const made = withCaches(stateOf(from, at % from, cells), to);
        expect(made).toEqual(stateOf(to, 0, cells));
        expect(cachesOf(made ?? new Uint8Array())).toBe(to);
      }),
    );
  });

  it('takes nothing that is too short to be one', () => {
    expect(withCaches(new Uint8Array(11), 2)).toBeNull();
    expect(withCaches(new Uint8Array(40), 2)).toBeNull();
    expect(withCaches(stateOf(5, 0, []).subarray(0, 20), 2)).toBeNull();
  });

  it('knows how long an empty one is', () => {
    expect(emptyStateBytes(5)).toBe(stateOf(5, 0, []).byteLength);
  });
});
