// What the lowering of one operation is given: where nodes go, and what other values are called.
import type { Value } from '../graph/value.ts';
import type { Emitter, NodeSpec } from './emitter.ts';
import type { ProductSum } from './product-sums.ts';

export interface Lowering {
  readonly emitter: Emitter;
  /** The tensor that holds a value; lowers it when it is new. */
  readonly nameOf: (value: Value) => string;
  /** The additions that take a product in. */
  readonly sums: ReadonlyMap<Value, ProductSum>;
}

/** A node with one result, and its name. */
export const single = ({ emitter }: Lowering, spec: NodeSpec): string =>
  emitter.emit(spec)[0] ?? '';
