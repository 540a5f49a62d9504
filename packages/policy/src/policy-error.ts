// The error class of this package: a stable code, a sentence, and for packs the path of each fault.
// It does not know Corral's error table; callers map `code` to theirs.

export type PolicyErrorCode =
  /** The pack does not have the shape of policy-pack/1. */
  | 'pack_invalid'
  /** The shape is right, but a part cannot work: a pattern, a condition, a reference, a lexicon. */
  | 'pack_rejected'
  | 'signature_invalid'
  /** A guard was used after its end. */
  | 'guard_ended';

export interface PolicyIssue {
  /** Where in the pack, for example `rules[2].when`. */
  readonly path: string;
  readonly message: string;
}

export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly code: PolicyErrorCode;
  readonly issues: readonly PolicyIssue[];

  constructor(code: PolicyErrorCode, message: string, issues: readonly PolicyIssue[] = []) {
    const lines = issues.map((issue) => `\n  ${issue.path}: ${issue.message}`);
    super(message + lines.join(''));
    this.code = code;
    this.issues = issues;
  }
}
