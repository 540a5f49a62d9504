import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Edge } from './min-cut.ts';
import { sourceSideOfMinCut } from './min-cut.ts';

const inner = 5;
const source = inner;
const sink = inner + 1;

const cutCost = (edges: readonly Edge[], side: { has(vertex: number): boolean }): number =>
  edges.reduce(
    (sum, { from, to, capacity }) => (side.has(from) && !side.has(to) ? sum + capacity : sum),
    0,
  );

/** Tries every set of vertices. */
const cheapestCost = (edges: readonly Edge[]): number => {
  const costs = Array.from({ length: 2 ** inner }, (_, bits) =>
    cutCost(edges, { has: (vertex) => vertex === source || ((bits >> vertex) & 1) === 1 }),
  );
  return Math.min(...costs);
};

const edge = fc.record({
  from: fc.nat(inner),
  to: fc.oneof(fc.nat(inner - 1), fc.constant(sink)),
  capacity: fc.nat(20),
});

describe('sourceSideOfMinCut', () => {
  it('separates source from sink as cheaply as any set of vertices does', () => {
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 20 }), (edges) => {
        const side = sourceSideOfMinCut(edges, source, sink);
        expect(side.has(source)).toBe(true);
        expect(side.has(sink)).toBe(false);
        expect(cutCost(edges, side)).toBe(cheapestCost(edges));
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a graph that no finite cut separates', () => {
    const edges = [{ from: source, to: sink, capacity: Infinity }];
    expect(() => sourceSideOfMinCut(edges, source, sink)).toThrow(RangeError);
  });
});
