// Reverse mode: one walk from the result back to what is asked for, last operation first, adding up the
// gradients that reach a value by several ways. Knows no operation by name; the rules table does.
import { ancestors } from '../graph/graph.ts';
import { fill } from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';
import type { NoGradient } from './rules.ts';
import { rules } from './rules.ts';
import { sumParts } from './sum-parts.ts';

type AnyRule = NoGradient | ((node: Value, dy: Value) => readonly (Value | null)[]);

/**
 * @param y the result; @param dy the gradient that arrives at it, of the same shape
 * @returns for each of `wrt` its gradient, of its own shape (zeros where y does not depend on it)
 * @throws TypeError when a way from y to one of `wrt` crosses an operation that has no gradient
 */
export const gradients = (y: Value, dy: Value, wrt: readonly Value[]): Value[] => {
  const targets = new Set(wrt);
  const order = ancestors([y]);
  const active = new Set<Value>();
  for (const value of order) {
    if (targets.has(value) || value.inputs.some((source) => active.has(source))) active.add(value);
  }

  const arrived = new Map<Value, Value[]>([[y, [dy]]]);
  const gradient = new Map<Value, Value>();
  for (const value of order.toReversed()) {
    const all = arrived.get(value);
    if (!all || !active.has(value)) continue;
    const arriving = sumParts(all);
    gradient.set(value, arriving);
    const rule = rules[value.kind] as AnyRule;
    if (typeof rule !== 'function')
      throw new TypeError(`no gradient of ${value.kind}: ${rule.why}`);
    const parts = rule(value, arriving);
    for (const [i, source] of value.inputs.entries()) {
      if (!active.has(source)) continue;
      const part = parts[i];
      if (!part) throw new TypeError(`no gradient of ${value.kind} for input ${i}`);
      arrived.set(source, [...(arrived.get(source) ?? []), part]);
    }
  }
  return wrt.map((value) => gradient.get(value) ?? fill(0, value.shape));
};
