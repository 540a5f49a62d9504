// An expression as a network of nodes that is followed byte by byte: a byte range leads on, a split leads
// on in several ways at once, a call enters a rule and comes back. Checked here, so that following it
// always ends: no rule that begins with itself, none that never ends, no more nodes than the limit.
import { normaliseRanges, type Expression, type Rule } from './expression.ts';
import { utf8Sequences } from './utf8-ranges.ts';

export type NetworkNode =
  | { readonly kind: 'byte'; readonly first: number; readonly last: number; readonly next: number }
  | { readonly kind: 'split'; readonly targets: number[] }
  | { readonly kind: 'call'; readonly rule: number; readonly next: number }
  | { readonly kind: 'end' };

export interface GrammarNetwork {
  readonly nodes: readonly NetworkNode[];
  /** First node of each rule; the first rule is the whole. */
  readonly starts: readonly number[];
  /**
   * For each node the calls that must at least be open at once from there to the end of its rule; Infinity
   * where the end cannot be reached. Bounds the depth without ever leading into a dead end.
   */
  readonly needs: Float64Array;
}

/** A network of this many nodes takes 10 MB and 50 ms. */
const maxNodes = 100_000;
/** Rules, written or made for repetitions. */
const maxRules = 20_000;

/** Why an expression makes no grammar: `endless`, `left_recursive` or `too_large`. */
export class GrammarError extends Error {
  override readonly name = 'GrammarError';
  readonly code: 'endless' | 'left_recursive' | 'too_large' | 'too_ambiguous';

  constructor(code: GrammarError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Nodes an expression takes when it is written out once. */
function weight(expression: Expression): number {
  switch (expression.kind) {
    case 'literal':
      return expression.text.length;
    case 'literals':
      return expression.texts.reduce((sum, text) => sum + text.length, 0);
    case 'characters':
      return 4 * expression.ranges.length;
    case 'sequence':
      return expression.parts.reduce((sum, part) => sum + weight(part), 0);
    case 'choice':
      return expression.options.reduce((sum, option) => sum + weight(option), 1);
    case 'repeat':
      return weight(expression.part) * Math.min(expression.max, expression.min + 1) + 1;
    case 'rule':
      return 1;
    default:
      return expression satisfies never;
  }
}

/** Parts heavier than this become a rule when they are repeated: one call for each copy. */
const inlineWeight = 4;

class NetworkBuilder {
  readonly nodes: NetworkNode[] = [];
  readonly starts: number[] = [];
  readonly #indexes = new Map<Rule, number>();
  readonly #rules: Rule[] = [];

  /** Lays out the rule and all that it calls. */
  build(root: Rule): void {
    this.#indexOf(root);
    for (let i = 0; i < this.#rules.length; i++) {
      const { body } = this.#rules[i] as Rule;
      this.starts[i] = this.#lay(body, this.#add({ kind: 'end' }));
    }
  }

  nameOf(rule: number): string {
    return this.#rules[rule]?.name ?? '';
  }

  #indexOf(rule: Rule): number {
    const known = this.#indexes.get(rule);
    if (known !== undefined) return known;
    if (this.#rules.length >= maxRules)
      throw new GrammarError('too_large', `it has more than ${maxRules} rules`);
    this.#indexes.set(rule, this.#rules.length);
    return this.#rules.push(rule) - 1;
  }

  #add(node: NetworkNode): number {
    if (this.nodes.length >= maxNodes)
      throw new GrammarError('too_large', `it has more than ${maxNodes} states`);
    return this.nodes.push(node) - 1;
  }

  #byte(first: number, last: number, next: number): number {
    return this.#add({ kind: 'byte', first, last, next });
  }

  #split(targets: number[]): number {
    const [only] = targets;
    return targets.length === 1 && only !== undefined
      ? only
      : this.#add({ kind: 'split', targets });
  }

  /** Nodes for `expression`, whose end leads to `next`; answers the first of them. */
  #lay(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'literal':
        return this.#trie([Buffer.from(expression.text)], 0, next);
      case 'literals':
        return this.#trie(
          expression.texts.map((text) => Buffer.from(text)),
          0,
          next,
        );
      case 'characters':
        return this.#split(
          normaliseRanges(expression.ranges)
            .flatMap(utf8Sequences)
            .map((bytes) =>
              bytes.reduceRight((at, [first, last]) => this.#byte(first, last, at), next),
            ),
        );
      case 'sequence':
        return expression.parts.reduceRight((at, part) => this.#lay(part, at), next);
      case 'choice':
        return this.#split(expression.options.map((option) => this.#lay(option, next)));
      case 'repeat':
        return this.#repeat(expression, next);
      case 'rule':
        return this.#add({ kind: 'call', rule: this.#indexOf(expression.rule), next });
      default:
        return expression satisfies never;
    }
  }

  /** What follows the first `depth` bytes, which all texts share. */
  #trie(texts: readonly Uint8Array[], depth: number, next: number): number {
    const [first = new Uint8Array()] = texts;
    let end = depth;
    while (end < first.length && texts.every((text) => text[end] === first[end])) end++;
    let at = next;
    // One text: it is told to its end. Several: they part here.
    if (texts.some((text) => text.length > end)) {
      const byNext = Map.groupBy(texts, (text) => text[end]);
      at = this.#split(
        Array.from(byNext, ([byte, group]) =>
          byte === undefined ? next : this.#byte(byte, byte, this.#trie(group, end + 1, next)),
        ),
      );
    }
    for (let i = end - 1; i >= depth; i--) {
      const byte = first[i] as number;
      at = this.#byte(byte, byte, at);
    }
    return at;
  }

  #repeat({ part, min, max }: Extract<Expression, { kind: 'repeat' }>, next: number): number {
    const copies = Number.isFinite(max) ? max : min + 1;
    const body: Expression =
      copies > 2 && weight(part) > inlineWeight
        ? { kind: 'rule', rule: { name: 'repeated', body: part } }
        : part;
    let at = next;
    if (Number.isFinite(max)) {
      for (let i = min; i < max; i++) at = this.#split([this.#lay(body, at), next]);
    } else {
      const loop: NetworkNode = { kind: 'split', targets: [] };
      at = this.#add(loop);
      loop.targets.push(this.#lay(body, at), next);
    }
    for (let i = 0; i < min; i++) at = this.#lay(body, at);
    return at;
  }
}

/** Repeats `change` over all nodes until a whole round changed nothing. */
function untilStable(count: number, change: (node: number) => boolean): void {
  for (let changed = true; changed;) {
    changed = false;
    for (let node = 0; node < count; node++) if (change(node)) changed = true;
  }
}

function computeNeeds(nodes: readonly NetworkNode[], starts: readonly number[]): Float64Array {
  const needs = new Float64Array(nodes.length).fill(Infinity);
  const at = (node: number): number => needs[node] as number;
  const need = (node: NetworkNode): number => {
    switch (node.kind) {
      case 'end':
        return 0;
      case 'byte':
        return at(node.next);
      case 'split':
        return node.targets.reduce((least, target) => Math.min(least, at(target)), Infinity);
      case 'call':
        return Math.max(1 + at(starts[node.rule] as number), at(node.next));
      default:
        return node satisfies never;
    }
  };
  untilStable(nodes.length, (i) => {
    const value = need(nodes[i] as NetworkNode);
    if (value >= at(i)) return false;
    needs[i] = value;
    return true;
  });
  return needs;
}

/** For each node: can its rule end from there without a byte? */
function computeNullable(nodes: readonly NetworkNode[], starts: readonly number[]): Uint8Array {
  const nullable = new Uint8Array(nodes.length);
  const at = (node: number): boolean => nullable[node] === 1;
  untilStable(nodes.length, (i) => {
    const node = nodes[i] as NetworkNode;
    const value =
      node.kind === 'end' ||
      (node.kind === 'split' && node.targets.some(at)) ||
      (node.kind === 'call' && at(starts[node.rule] as number) && at(node.next));
    if (!value || at(i)) return false;
    nullable[i] = 1;
    return true;
  });
  return nullable;
}

/** Rules that can be entered from `start` before any byte. */
function leftCalls(
  start: number,
  { nodes, starts, nullable }: Pick<GrammarNetwork, 'nodes' | 'starts'> & { nullable: Uint8Array },
): Set<number> {
  const rules = new Set<number>();
  const seen = new Set<number>();
  const waiting = [start];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    const node = nodes[at] as NetworkNode;
    if (node.kind === 'split') waiting.push(...node.targets);
    if (node.kind !== 'call') continue;
    rules.add(node.rule);
    if (nullable[starts[node.rule] as number] === 1) waiting.push(node.next);
  }
  return rules;
}

function checkLeftRecursion(builder: NetworkBuilder): void {
  const { nodes, starts } = builder;
  const network = { nodes, starts, nullable: computeNullable(nodes, starts) };
  const calls = starts.map((start) => leftCalls(start, network));
  // Takes rules away that call only rules taken away before; what is left calls in a circle.
  const left = new Set(calls.keys());
  for (let changed = true; changed;) {
    changed = false;
    for (const rule of left) {
      if ([...(calls[rule] ?? [])].some((called) => left.has(called))) continue;
      left.delete(rule);
      changed = true;
    }
  }
  const [rule] = left;
  if (rule !== undefined)
    throw new GrammarError('left_recursive', `"${builder.nameOf(rule)}" begins with itself`);
}

/** Throws GrammarError. */
export function buildNetwork(root: Rule): GrammarNetwork {
  const builder = new NetworkBuilder();
  builder.build(root);
  const { nodes, starts } = builder;
  checkLeftRecursion(builder);
  const needs = computeNeeds(nodes, starts);
  if (needs[starts[0] as number] === Infinity)
    throw new GrammarError('endless', `"${root.name}" has no end`);
  return { nodes, starts, needs };
}
