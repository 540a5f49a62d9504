// A graph: named results, and the values that are fed instead of computed. Order and reach are derived.
import type { Node, Value } from './value.ts';

export interface Graph {
  /** Results by name, in order. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** Values that somebody else has computed: fed under this name, their own inputs not looked at. */
  readonly given?: ReadonlyMap<Value, string>;
}

/** Everything that `roots` depend on, inputs first; the search stops at values in `stop`. */
export const ancestors = (
  roots: Iterable<Value>,
  stop: { has(value: Value): boolean } = new Set<Value>(),
): Value[] => {
  const seen = new Set<Value>(roots);
  for (const value of seen) {
    if (stop.has(value)) continue;
    for (const source of value.inputs) seen.add(source);
  }
  return [...seen].sort((a, b) => a.id - b.id);
};

export const isInput = (value: Value): value is Node<'input'> => value.kind === 'input';
