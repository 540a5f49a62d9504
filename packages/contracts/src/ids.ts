// Identifiers: OpenAI's prefixes, 24 characters of randomness. Opaque to everyone but this file.
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export const idPrefixes = {
  file: 'file-',
  job: 'ftjob-',
  event: 'ftevent-',
  checkpoint: 'ftckpt-',
  completion: 'chatcmpl-',
  project: 'proj_',
  key: 'key_',
  operation: 'op_',
  deployment: 'dep_',
  request: 'req_',
} as const;
export type IdKind = keyof typeof idPrefixes;

/** A new identifier, for example `ftjob-3Jx…`; unguessable (24 × log2(62) ≈ 142 bits). */
export function newId(kind: IdKind): string {
  let text = '';
  while (text.length < 24) {
    // 248 = 4 × 62: bytes above it would favour the first letters.
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      if (byte < 248 && text.length < 24) text += alphabet[byte % 62];
    }
  }
  return idPrefixes[kind] + text;
}
