// A Merkle tree that keeps every complete subtree in memory (64 bytes an entry and what the engine adds):
// for logs read whole from a file and for tests. A log in a database uses CompactRange and the plans.
import { EvidenceError } from './evidence-error.ts';
import {
  assembleProof,
  CompactRange,
  consistencyPlan,
  inclusionPlan,
  type NodeId,
} from './merkle-tree.ts';

export class MerkleTree {
  readonly #range = new CompactRange();
  readonly #levels: Uint8Array[][] = [];

  get size(): number {
    return this.#range.size;
  }

  append(leafHash: Uint8Array): void {
    for (const { level, hash } of this.#range.append(leafHash)) {
      (this.#levels[level] ??= []).push(hash);
    }
  }

  root(): Uint8Array {
    return this.#range.root();
  }

  /** Sibling hashes bottom up, for the tree as it was with `size` leaves. */
  inclusionProof(index: number, size: number = this.size): Uint8Array[] {
    this.#checkSize(size);
    return assembleProof(inclusionPlan(index, size), this.#read);
  }

  consistencyProof(first: number, second: number = this.size): Uint8Array[] {
    this.#checkSize(second);
    return assembleProof(consistencyPlan(first, second), this.#read);
  }

  #checkSize(size: number): void {
    if (size > this.size) {
      throw new EvidenceError('range_invalid', `The tree has ${this.size} leaves, not ${size}.`);
    }
  }

  readonly #read = ({ level, index }: NodeId): Uint8Array => {
    const hash = this.#levels[level]?.[index];
    if (hash === undefined) {
      throw new EvidenceError('range_invalid', `There is no node ${index} on level ${level}.`);
    }
    return hash;
  };
}
