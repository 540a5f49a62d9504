// The RFC 6962 / RFC 9162 Merkle tree: an append-only range that fits one database row, and proofs
// assembled from stored complete subtrees. It does not know where nodes are kept nor what leaves mean.
//
// Node (level, index) is the hash over leaves [index * 2^level, (index + 1) * 2^level); only complete
// subtrees are ever stored, so stored nodes never change. Sizes are safe integers, hence no bit tricks.
import { equalBytes, fromBase64, toBase64 } from './bytes.ts';
import { sha256 } from './crypto.ts';
import { EvidenceError } from './evidence-error.ts';

export interface NodeId {
  readonly level: number;
  readonly index: number;
}
export interface TreeNode extends NodeId {
  /** 32 bytes. */
  readonly hash: Uint8Array;
}

/** Serialised compact range: `hashes` are base64, the complete subtrees of `size` leaves, left to right. */
export interface RangeState {
  readonly size: number;
  readonly hashes: readonly string[];
}

const prefixed = (prefix: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const bytes = new Uint8Array(1 + parts.reduce((sum, part) => sum + part.length, 0));
  bytes[0] = prefix;
  let at = 1;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return sha256(bytes);
};

/** SHA-256(0x00 ‖ leaf), RFC 6962 2.1. */
export const leafHash = (leaf: Uint8Array): Uint8Array => prefixed(0, leaf);
/** SHA-256(0x01 ‖ left ‖ right), RFC 6962 2.1. */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  prefixed(1, left, right);
/** SHA-256 of nothing: the root of the tree without leaves. */
export const emptyRoot = (): Uint8Array => sha256(new Uint8Array(0));

/** Exact for all safe integers: Math.log2 alone rounds 2^49 - 1 up. */
function floorLog2(value: number): number {
  const guess = Math.floor(Math.log2(value));
  return 2 ** guess > value ? guess - 1 : guess;
}

/** Root of a range from its complete subtrees, left to right. */
function foldRight(hashes: readonly Uint8Array[]): Uint8Array {
  return (
    hashes.reduceRight<Uint8Array | undefined>(
      (right, left) => (right === undefined ? left : nodeHash(left, right)),
      undefined,
    ) ?? emptyRoot()
  );
}

/** The complete subtrees that cover [start, end), left to right; `start` is aligned as RFC 6962 splits. */
function cover(start: number, end: number): NodeId[] {
  const nodes: NodeId[] = [];
  let at = start;
  while (at < end) {
    const level = floorLog2(end - at);
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

/** Append-only range of leaves [0, size): O(log size) memory. */
export class CompactRange {
  #size = 0;
  #hashes: Uint8Array[] = [];

  /** Restores a saved range; throws `state_invalid` when the hashes do not fit the size. */
  static restore(state: RangeState): CompactRange {
    const range = new CompactRange();
    const hashes = state.hashes.map((text) => fromBase64(text));
    const fits = Number.isSafeInteger(state.size) && state.size >= 0;
    if (!fits || hashes.length !== cover(0, state.size).length) {
      throw new EvidenceError(
        'state_invalid',
        `A range of ${state.size} leaves does not have ${hashes.length} complete subtrees.`,
      );
    }
    range.#hashes = hashes.map((hash) => {
      if (hash?.length === 32) return hash;
      throw new EvidenceError('state_invalid', 'A saved subtree hash is not 32 bytes of base64.');
    });
    range.#size = state.size;
    return range;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends one leaf hash; returns the subtrees it completed (the leaf itself first) for storage. */
  append(hash: Uint8Array): TreeNode[] {
    if (hash.length !== 32) {
      throw new EvidenceError('range_invalid', `A leaf hash has 32 bytes, not ${hash.length}.`);
    }
    let node: TreeNode = { level: 0, index: this.#size, hash };
    const completed = [node];
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
      const left = this.#hashes.pop();
      if (left === undefined) throw new EvidenceError('state_invalid', 'A subtree is missing.');
      node = {
        level: node.level + 1,
        index: Math.floor(node.index / 2),
        hash: nodeHash(left, node.hash),
      };
      completed.push(node);
    }
    this.#hashes.push(node.hash);
    this.#size += 1;
    return completed;
  }

  root(): Uint8Array {
    return foldRight(this.#hashes);
  }

  state(): RangeState {
    return { size: this.#size, hashes: this.#hashes.map((hash) => toBase64(hash)) };
  }
}

/**
 * What a proof is made of: for each proof hash, bottom up, the stored nodes whose fold it is. Fetch all
 * of them in one query, then `assembleProof`. At most log2(size)^2 / 2 nodes.
 */
export type ProofPlan = readonly (readonly NodeId[])[];

const checkRange = (ok: boolean, message: string): void => {
  if (!ok) throw new EvidenceError('range_invalid', message);
};
const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
/** Largest power of two smaller than `width` (> 1). */
const split = (width: number): number => 2 ** floorLog2(width - 1);

/** RFC 6962 2.1.1, PATH(index, D[size]). Throws `range_invalid` unless 0 ≤ index < size. */
export function inclusionPlan(index: number, size: number): ProofPlan {
  checkRange(
    isSize(index) && isSize(size) && index < size,
    `There is no leaf ${index} in a log of ${size}.`,
  );
  const plan: NodeId[][] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + split(end - start);
    if (index < middle) {
      plan.push(cover(middle, end));
      end = middle;
    } else {
      plan.push(cover(start, middle));
      start = middle;
    }
  }
  return plan.toReversed();
}

/** RFC 6962 2.1.2, PROOF(first, D[second]). Throws `range_invalid` unless 0 ≤ first ≤ second. */
export function consistencyPlan(first: number, second: number): ProofPlan {
  checkRange(
    isSize(first) && isSize(second) && first <= second,
    `A log of ${second} entries does not extend one of ${first}.`,
  );
  const plan: NodeId[][] = [];
  if (first === 0 || first === second) return plan;
  let [start, end] = [0, second];
  while (end !== first) {
    const middle = start + split(end - start);
    if (first <= middle) {
      plan.push(cover(middle, end));
      end = middle;
    } else {
      plan.push(cover(start, middle));
      start = middle;
    }
  }
  // SUBPROOF's flag b: the old root itself is left out when it is a complete left edge.
  if (start > 0) plan.push(cover(start, end));
  return plan.toReversed();
}

/** Proof hashes (32 bytes each, bottom up) from a plan and a reader of stored nodes. */
export const assembleProof = (plan: ProofPlan, read: (node: NodeId) => Uint8Array): Uint8Array[] =>
  plan.map((nodes) => foldRight(nodes.map((node) => read(node))));

const halve = (value: number): number => Math.floor(value / 2);
const isOdd = (value: number): boolean => value % 2 === 1;

export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** The root that an inclusion proof leads to (RFC 9162 2.1.3.2); undefined when its length is wrong. */
function rootFromInclusion({
  leafHash: hash,
  index,
  size,
  proof,
}: Omit<InclusionClaim, 'root'>): Uint8Array | undefined {
  if (!isSize(index) || !isSize(size) || index >= size) return undefined;
  let [at, last, root] = [index, size - 1, hash];
  for (const sibling of proof) {
    if (last === 0) return undefined;
    if (isOdd(at) || at === last) {
      root = nodeHash(sibling, root);
      while (!isOdd(at) && at !== 0) [at, last] = [halve(at), halve(last)];
    } else {
      root = nodeHash(root, sibling);
    }
    [at, last] = [halve(at), halve(last)];
  }
  return last === 0 ? root : undefined;
}

/** True when `proof` shows that the leaf stands at `index` of the tree with `size` leaves and `root`. */
export function verifyInclusion(claim: InclusionClaim): boolean {
  const root = rootFromInclusion(claim);
  return root !== undefined && equalBytes(root, claim.root);
}

export interface ConsistencyClaim {
  readonly first: number;
  readonly firstRoot: Uint8Array;
  readonly second: number;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** True when the tree of `second` leaves extends that of `first` unchanged (RFC 9162 2.1.4.2). */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  const { first, second, firstRoot, secondRoot, proof } = claim;
  if (!isSize(first) || !isSize(second) || first > second) return false;
  if (first === second) return proof.length === 0 && equalBytes(firstRoot, secondRoot);
  if (first === 0) return proof.length === 0 && equalBytes(firstRoot, emptyRoot());
  const isPower = 2 ** floorLog2(first) === first;
  const [seed, ...path] = isPower ? [firstRoot, ...proof] : proof;
  if (seed === undefined) return false;
  let [at, last] = [first - 1, second - 1];
  while (isOdd(at)) [at, last] = [halve(at), halve(last)];
  let [oldRoot, newRoot] = [seed, seed];
  for (const sibling of path) {
    if (last === 0) return false;
    if (isOdd(at) || at === last) {
      oldRoot = nodeHash(sibling, oldRoot);
      newRoot = nodeHash(sibling, newRoot);
      while (!isOdd(at) && at !== 0) [at, last] = [halve(at), halve(last)];
    } else {
      newRoot = nodeHash(newRoot, sibling);
    }
    [at, last] = [halve(at), halve(last)];
  }
  return last === 0 && equalBytes(oldRoot, firstRoot) && equalBytes(newRoot, secondRoot);
}
