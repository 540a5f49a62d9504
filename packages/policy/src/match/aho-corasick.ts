// Aho–Corasick over code points in typed arrays (Aho & Corasick 1975). The state's depth is what the
// stream guard lives on: it says exactly how many trailing characters may still begin a term. Knows
// nothing of words, scripts or streams.

/** Mixes node and code into a table slot; both primes are arbitrary odd constants. */
const slotOf = (node: number, code: number): number =>
  (Math.imul(node, 0x9e3779b1) ^ Math.imul(code, 0x85ebca6b)) >>> 0;

export interface AhoCorasickTerm {
  readonly codes: readonly number[];
  /** Five script bits of the term; see char-flags.ts. */
  readonly script: number;
}

export class AhoCorasick {
  // Edges: an open-addressing hash table (node, code) → node, at most half full.
  #slots: number;
  #edgeNode: Int32Array;
  #edgeCode: Int32Array;
  #edgeTarget: Int32Array;
  readonly #rootAscii = new Int32Array(128);
  #nodes = 1;
  readonly #fail: Int32Array;
  readonly #depth: Uint16Array;
  /** Node of the longest proper suffix that is a term, 0 for none. */
  readonly #shorterTerm: Int32Array;
  /** Bit set over the script masks of the terms that end here; 0 means no term. */
  readonly #scripts: Uint32Array;

  constructor(terms: readonly AhoCorasickTerm[]) {
    const capacity = terms.reduce((sum, { codes }) => sum + codes.length, 1);
    this.#slots = 2 ** Math.ceil(Math.log2(capacity * 2 + 2));
    this.#edgeNode = new Int32Array(this.#slots).fill(-1);
    this.#edgeCode = new Int32Array(this.#slots);
    this.#edgeTarget = new Int32Array(this.#slots);
    this.#fail = new Int32Array(capacity);
    this.#depth = new Uint16Array(capacity);
    this.#shorterTerm = new Int32Array(capacity);
    this.#scripts = new Uint32Array(capacity);
    for (const term of terms) this.#insert(term);
    this.#link(terms);
  }

  #insert({ codes, script }: AhoCorasickTerm): void {
    let node = 0;
    for (const code of codes) {
      let next = this.#child(node, code);
      if (next < 0) {
        next = this.#nodes;
        this.#nodes += 1;
        this.#depth[next] = (this.#depth[node] ?? 0) + 1;
        this.#addEdge(node, code, next);
      }
      node = next;
    }
    if (node !== 0) this.#scripts[node] = ((this.#scripts[node] ?? 0) | (1 << script)) >>> 0;
  }

  #addEdge(node: number, code: number, target: number): void {
    let slot = slotOf(node, code) & (this.#slots - 1);
    while ((this.#edgeNode[slot] ?? 0) >= 0) slot = (slot + 1) & (this.#slots - 1);
    this.#edgeNode[slot] = node;
    this.#edgeCode[slot] = code;
    this.#edgeTarget[slot] = target;
    if (node === 0 && code >= 0 && code < 128) this.#rootAscii[code] = target;
  }

  /** Fail links level by level: the walk over the edges in order of depth is the breadth-first order. */
  #link(terms: readonly AhoCorasickTerm[]): void {
    const maxDepth = terms.reduce((max, { codes }) => Math.max(max, codes.length), 0);
    const byDepth: number[][] = Array.from({ length: maxDepth + 1 }, () => []);
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const target = this.#edgeTarget[slot] ?? 0;
      if ((this.#edgeNode[slot] ?? -1) >= 0) byDepth[this.#depth[target] ?? 0]?.push(slot);
    }
    for (const slots of byDepth) {
      for (const slot of slots) {
        const parent = this.#edgeNode[slot] ?? 0;
        const target = this.#edgeTarget[slot] ?? 0;
        const fail =
          parent === 0 ? 0 : this.next(this.#fail[parent] ?? 0, this.#edgeCode[slot] ?? 0);
        this.#fail[target] = fail;
        this.#shorterTerm[target] =
          (this.#scripts[fail] ?? 0) === 0 ? (this.#shorterTerm[fail] ?? 0) : fail;
      }
    }
  }

  #child(node: number, code: number): number {
    if (node === 0 && code >= 0 && code < 128) return (this.#rootAscii[code] ?? 0) || -1;
    let slot = slotOf(node, code) & (this.#slots - 1);
    for (;;) {
      const found = this.#edgeNode[slot] ?? -1;
      if (found < 0) return -1;
      if (found === node && this.#edgeCode[slot] === code) return this.#edgeTarget[slot] ?? -1;
      slot = (slot + 1) & (this.#slots - 1);
    }
  }

  get nodeCount(): number {
    return this.#nodes;
  }

  /** The state after `code`; state 0 is the root. */
  next(state: number, code: number): number {
    let node = state;
    for (;;) {
      const child = this.#child(node, code);
      if (child > 0) return child;
      if (node === 0) return 0;
      node = this.#fail[node] ?? 0;
    }
  }

  /** How many of the last characters may be the beginning of a term. */
  depth(state: number): number {
    return this.#depth[state] ?? 0;
  }

  /** The state for the next shorter beginning. */
  fail(state: number): number {
    return this.#fail[state] ?? 0;
  }

  /** Bit set of the script masks of the terms that end exactly here (of the state's whole depth). */
  scripts(state: number): number {
    return this.#scripts[state] ?? 0;
  }

  /** The state of the next shorter term that ends at the same place; 0 for none. */
  shorterTerm(state: number): number {
    return this.#shorterTerm[state] ?? 0;
  }
}
