// Strict text encodings. Strict means: exactly one text decodes to given bytes, so that a changed
// character in a signed or hashed text can never be lost in decoding.
import { EvidenceError } from './evidence-error.ts';

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Decodes UTF-8; throws TypeError for any invalid byte and keeps a leading BOM as a character. */
export const fromUtf8 = (bytes: Uint8Array): string =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

export const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

/** Decodes standard base64 with padding; undefined when it is not the one canonical spelling. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, position) => byte === b[position]);

/** A base64 SHA-256 hash (32 bytes) or an EvidenceError that names `what`. */
export function hashFromBase64(text: string, what: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes?.length !== 32) {
    throw new EvidenceError('file_malformed', `${what} is not a base64 SHA-256 hash: "${text}"`);
  }
  return bytes;
}
