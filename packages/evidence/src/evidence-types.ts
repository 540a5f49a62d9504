// The shapes that leave the log: a whole log, one entry's proof, and the verdict on either. Structurally
// the same as the contracts' schemas, so that this package needs nothing else to verify them.

/** A whole log. `leaves` are canonical JSON texts, in order. */
export interface EvidenceBundle {
  readonly schema: 'corral-evidence/1';
  readonly leaves: readonly string[];
  /** C2SP signed checkpoint over exactly these leaves. */
  readonly checkpoint: string;
  readonly verifier_key: string;
}

/** One entry and what leads from it to a signed head. */
export interface EvidenceProof {
  readonly schema: 'corral-proof/1';
  readonly index: number;
  readonly leaf: string;
  /** Sibling hashes, base64, bottom up. */
  readonly proof: readonly string[];
  readonly checkpoint: string;
  readonly verifier_key: string;
}

export type ProblemCode =
  | 'file_malformed'
  | 'key_invalid'
  | 'key_unexpected'
  | 'signature_invalid'
  | 'checkpoint_malformed'
  | 'entry_malformed'
  | 'entry_changed'
  | 'hash_changed'
  | 'size_mismatch'
  | 'root_mismatch'
  | 'proof_invalid'
  | 'history_rewritten'
  | 'history_unknown';

export interface Problem {
  readonly code: ProblemCode;
  /** A sentence for a person. */
  readonly message: string;
  /** Index of the log entry at fault. */
  readonly leaf?: number;
  /** One-based line of the file. */
  readonly line?: number;
  /** Bytes [start, end) of the file at fault. */
  readonly bytes?: { readonly start: number; readonly end: number };
}

export interface Verification {
  readonly ok: boolean;
  readonly kind: 'bundle' | 'proof' | 'unknown';
  /** The signed head, when its signature holds. Root in base64. */
  readonly head: { readonly origin: string; readonly size: number; readonly root: string } | null;
  /** The key the file names; trust it only if it is the one you know the log by. */
  readonly verifierKey: string | null;
  /** The first 20 problems, in the order of the file. */
  readonly problems: readonly Problem[];
  readonly problemCount: number;
}

export interface VerifyOptions {
  /** The log's key known from elsewhere; without it the key inside the file is believed. */
  readonly verifierKey?: string | undefined;
  /** An older signed head of the same log: the file must extend it (bundles only). */
  readonly olderCheckpoint?: string | undefined;
}
