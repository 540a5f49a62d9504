// The error class of this package: a stable code and a sentence that names the offending value. It
// does not know Corral's error table; callers map `code` to theirs.

export type EvidenceErrorCode =
  | 'not_canonical'
  | 'value_refused'
  | 'range_invalid'
  | 'state_invalid'
  | 'key_invalid'
  | 'note_malformed'
  | 'checkpoint_malformed'
  | 'signature_invalid'
  | 'file_malformed';

export class EvidenceError extends Error {
  override readonly name = 'EvidenceError';
  readonly code: EvidenceErrorCode;

  constructor(code: EvidenceErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
