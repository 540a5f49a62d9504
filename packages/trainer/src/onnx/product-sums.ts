// Finds additions of a product that nothing else uses: one kernel multiplies and adds, so that the product is
// never written down and read again. What adapters add to a layer's result is such a sum, with thin products
// that cost as much as their passes over memory.
import type { Graph } from '../graph/graph.ts';
import type { Node, Value } from '../graph/value.ts';

/** An addition of two matrices, one of them a product. */
export interface ProductSum {
  readonly product: Node<'matmul'>;
  readonly rest: Value;
  /** `rest`, where it is an integer product whose outlier columns can join the other product. */
  readonly int8: Node<'int8_matmul'> | null;
}

export interface ProductSums {
  readonly sums: ReadonlyMap<Value, ProductSum>;
  /** Values that exist no more by themselves. */
  readonly absorbed: ReadonlySet<Value>;
}

const innerExtent = ({ inputs: [a], attributes }: Node<'matmul'>): number =>
  a.shape.at(attributes.transposeA ? -2 : -1) ?? 1;

const isProduct = (value: Value): value is Node<'matmul'> =>
  value.kind === 'matmul' && value.shape.length === 2;

const takesMore = (value: Value, product: Node<'matmul'>): value is Node<'int8_matmul'> =>
  value.kind === 'int8_matmul' &&
  value.inputs.length > 3 &&
  product.attributes.transposeB &&
  !product.attributes.transposeA;

/** @param values those of the graph, inputs first */
export const findProductSums = (
  values: readonly Value[],
  { outputs, given = new Map() }: Graph,
): ProductSums => {
  const uses = new Map<Value, number>();
  const use = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const value of outputs.values()) use(value);
  for (const value of values) if (!given.has(value)) value.inputs.forEach(use);
  const free = (value: Value): boolean => uses.get(value) === 1 && !given.has(value);

  const sums = new Map<Value, ProductSum>();
  const absorbed = new Set<Value>();
  for (const value of values) {
    if (value.kind !== 'add' || given.has(value)) continue;
    const [a, b] = value.inputs;
    if (a.shape.join() !== b.shape.join()) continue;
    // The thinner product, which is the cheaper one to run with a third operand.
    const [product] = [a, b]
      .filter(isProduct)
      .filter(free)
      .toSorted((p, q) => innerExtent(p) - innerExtent(q));
    if (!product) continue;
    const rest = product === a ? b : a;
    const int8 = takesMore(rest, product) && free(rest) ? rest : null;
    sums.set(value, { product, rest, int8 });
    absorbed.add(product);
    if (int8) absorbed.add(int8);
  }
  return { sums, absorbed };
};
