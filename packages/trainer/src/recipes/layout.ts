// Items of a store as one batch. What shares a row with what is a matter of layout; items of two examples (the
// answers of a preference pair) are never torn apart, because their loss needs both.
import type { ExampleStore } from '../data/data-set.ts';
import { buildBatch, inputLength, packRows } from '../data/packing.ts';
import type { PackedBatch } from '../models/causal-lm.ts';
import type { Run } from './run.ts';

export type Layout = Pick<Run['config']['data'], 'packing'> & {
  readonly contextLength: number;
  /** Examples that stay in one row and are counted as one: item i is examples i · n to i · n + n − 1. */
  readonly examplesPerItem: number;
};

/** The examples of an item. */
export const examplesOf = (item: number, { examplesPerItem: count }: Layout): number[] =>
  Array.from({ length: count }, (_, index) => item * count + index);

/** Lays the given items out as one batch, and says which stand in each row. */
export function layOutRows(
  store: ExampleStore,
  items: readonly number[],
  layout: Layout,
): { batch: PackedBatch; items: number[][] } {
  const groups = items.map((item) => examplesOf(item, layout).map((index) => store.get(index)));
  const lengths = groups.map((group) => group.reduce((sum, each) => sum + inputLength(each), 0));
  const { rows, seqLen } = packRows(lengths, layout);
  const examplesIn = (row: readonly number[]): number[] =>
    row.flatMap((place) => examplesOf(place, layout));
  return {
    batch: buildBatch(groups.flat(), { rows: rows.map(examplesIn), seqLen }),
    items: rows.map((row) => row.map((place) => items[place] ?? 0)),
  };
}

/** Lays the given items out as one batch. */
export const layOut = (
  store: ExampleStore,
  items: readonly number[],
  layout: Layout,
): PackedBatch => layOutRows(store, items, layout).batch;
