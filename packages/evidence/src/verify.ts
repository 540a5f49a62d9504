// Verification of a log or a proof in memory: signature, size, root, history. The one idea: collect
// every problem and name the entry, instead of stopping at the first. Files are verify-file.ts's.
import { equalBytes, hashFromBase64, toBase64, utf8 } from './bytes.ts';
import { parseCanonicalJson } from './canonical-json.ts';
import { type Checkpoint, verifyCheckpoint } from './checkpoint.ts';
import { EvidenceError } from './evidence-error.ts';
import type {
  EvidenceBundle,
  EvidenceProof,
  Problem,
  ProblemCode,
  Verification,
  VerifyOptions,
} from './evidence-types.ts';
import { CompactRange, leafHash, verifyInclusion } from './merkle-tree.ts';

const maxProblems = 20;

/** Problems as they are found: keeps the first 20, counts all. */
export class Findings {
  readonly #problems: Problem[] = [];
  #count = 0;

  add(code: ProblemCode, message: string, where: Omit<Problem, 'code' | 'message'> = {}): void {
    this.#count += 1;
    if (this.#problems.length < maxProblems) this.#problems.push({ code, message, ...where });
  }

  /** Runs `read`; an EvidenceError becomes a problem and undefined is returned. */
  attempt<T>(
    code: ProblemCode,
    where: Omit<Problem, 'code' | 'message'>,
    read: () => T,
  ): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.add(code, error.message, where);
      return undefined;
    }
  }

  get count(): number {
    return this.#count;
  }

  verdict(
    kind: Verification['kind'],
    head: Checkpoint | undefined,
    verifierKey: string | null,
  ): Verification {
    return {
      ok: this.#count === 0,
      kind,
      head: head ? { origin: head.origin, size: head.size, root: toBase64(head.root) } : null,
      verifierKey,
      problems: this.#problems,
      problemCount: this.#count,
    };
  }
}

/** The verified head, or undefined with the reason among the findings. */
export function checkHead(
  findings: Findings,
  file: { readonly checkpoint: string; readonly verifier_key: string },
  { verifierKey }: VerifyOptions,
): Checkpoint | undefined {
  if (verifierKey !== undefined && verifierKey !== file.verifier_key) {
    findings.add(
      'key_unexpected',
      `The file names the key "${file.verifier_key}"; expected was "${verifierKey}".`,
    );
  }
  try {
    return verifyCheckpoint(file.checkpoint, verifierKey ?? file.verifier_key);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const code: ProblemCode =
      error.code === 'key_invalid' || error.code === 'checkpoint_malformed'
        ? error.code
        : 'signature_invalid';
    findings.add(code, error.message);
    return undefined;
  }
}

/** Replays leaf hashes; gives the final root and, on the way, the root at an older head's size. */
export class HistoryCheck {
  readonly #range = new CompactRange();
  readonly #older: Checkpoint | undefined;
  #olderRoot: Uint8Array | undefined;

  constructor(older: Checkpoint | undefined) {
    this.#older = older;
    this.#note();
  }

  append(hash: Uint8Array): void {
    this.#range.append(hash);
    this.#note();
  }

  #note(): void {
    if (this.#older?.size === this.#range.size) this.#olderRoot = this.#range.root();
  }

  get size(): number {
    return this.#range.size;
  }

  root(): Uint8Array {
    return this.#range.root();
  }

  report(findings: Findings): void {
    if (this.#older === undefined) return;
    if (this.#olderRoot === undefined) {
      findings.add(
        'history_rewritten',
        `The older head covers ${this.#older.size} entries; this log has only ${this.size}.`,
      );
    } else if (!equalBytes(this.#olderRoot, this.#older.root)) {
      findings.add(
        'history_rewritten',
        `The first ${this.#older.size} entries are not those the older head was signed over.`,
      );
    }
  }
}

/** The older head of the options, or undefined (with the reason among the findings when it is bad). */
export const olderHead = (
  findings: Findings,
  { olderCheckpoint, verifierKey }: VerifyOptions,
  fileKey: string,
): Checkpoint | undefined =>
  olderCheckpoint === undefined
    ? undefined
    : findings.attempt('signature_invalid', {}, () =>
        verifyCheckpoint(olderCheckpoint, verifierKey ?? fileKey),
      );

export function checkSize(findings: Findings, found: number, head: Checkpoint | undefined): void {
  if (head !== undefined && found !== head.size) {
    findings.add('size_mismatch', `${found} entries; the signed head covers ${head.size}.`);
  }
}

/** Verifies a whole log: every leaf canonical, size and root equal to the signed head's. */
export function verifyBundle(bundle: EvidenceBundle, options: VerifyOptions = {}): Verification {
  const findings = new Findings();
  const head = checkHead(findings, bundle, options);
  const history = new HistoryCheck(olderHead(findings, options, bundle.verifier_key));
  bundle.leaves.forEach((leaf, index) => {
    findings.attempt('entry_malformed', { leaf: index }, () => parseCanonicalJson(leaf));
    history.append(leafHash(utf8(leaf)));
  });
  checkSize(findings, history.size, head);
  if (head !== undefined && history.size === head.size && !equalBytes(history.root(), head.root)) {
    findings.add('root_mismatch', 'The entries are not those that the head was signed over.');
  }
  history.report(findings);
  return findings.verdict('bundle', head, bundle.verifier_key);
}

/** A proof of one entry shows nothing of the others: it can agree with an older head only of its own size. */
function compareHeads(findings: Findings, head: Checkpoint, older: Checkpoint | undefined): void {
  if (older === undefined) return;
  if (older.size !== head.size) {
    findings.add(
      'history_unknown',
      `A proof of one entry cannot show whether the log of ${head.size} entries extends the one of ${older.size}: export the log and verify that against the older head.`,
    );
  } else if (!equalBytes(older.root, head.root)) {
    findings.add(
      'history_rewritten',
      `The older head was signed over ${older.size} other entries.`,
    );
  }
}

/** Verifies one entry's proof against the signed head inside it, and that against an older one of its size. */
export function verifyProof(proof: EvidenceProof, options: VerifyOptions = {}): Verification {
  const findings = new Findings();
  const head = checkHead(findings, proof, options);
  const where = { leaf: proof.index };
  findings.attempt('entry_malformed', where, () => parseCanonicalJson(proof.leaf));
  const siblings = findings.attempt('proof_invalid', where, () =>
    proof.proof.map((text, at) => hashFromBase64(text, `Proof hash ${at}`)),
  );
  if (head !== undefined && siblings !== undefined) {
    const claim = {
      leafHash: leafHash(utf8(proof.leaf)),
      index: proof.index,
      size: head.size,
      root: head.root,
      proof: siblings,
    };
    if (!verifyInclusion(claim)) {
      findings.add(
        'proof_invalid',
        `The proof does not lead from entry ${proof.index} to the signed root of ${head.size} entries.`,
        where,
      );
    }
  }
  if (head !== undefined)
    compareHeads(findings, head, olderHead(findings, options, proof.verifier_key));
  return findings.verdict('proof', head, proof.verifier_key);
}
