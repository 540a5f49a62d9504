// The seam to node:crypto: SHA-256 and Ed25519 over raw bytes. The only file of this package that
// knows key objects, DER and PEM. Ed25519: RFC 8032; encodings: RFC 8410.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  sign,
  verify,
} from 'node:crypto';
import { EvidenceError } from './evidence-error.ts';

/** DER of SubjectPublicKeyInfo for Ed25519 up to the 32 bytes of the key (RFC 8410, 4). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(hash('sha256', bytes, 'buffer'));

export interface Ed25519Key {
  /** Raw 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64-byte Ed25519 signature. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** A new Ed25519 private key as PKCS#8 PEM. */
export const generateSigningKey = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Reads a PKCS#8 key, PEM text or DER bytes. Throws `key_invalid` for anything but Ed25519. */
export function importSigningKey(key: string | Uint8Array): Ed25519Key {
  let privateKey;
  try {
    privateKey = createPrivateKey(
      typeof key === 'string'
        ? { key, format: 'pem' }
        : { key: Buffer.from(key), format: 'der', type: 'pkcs8' },
    );
  } catch (error) {
    throw new EvidenceError('key_invalid', `The signing key cannot be read: ${String(error)}`);
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    const found = privateKey.asymmetricKeyType ?? 'unknown';
    throw new EvidenceError('key_invalid', `The signing key is ${found}; Ed25519 is needed.`);
  }
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return {
    publicKey: new Uint8Array(spki.subarray(spkiPrefix.length)),
    sign: (message) => new Uint8Array(sign(null, message, privateKey)),
  };
}

export function verifyEd25519(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    const key = createPublicKey({
      key: Buffer.concat([spkiPrefix, publicKey]),
      format: 'der',
      type: 'spki',
    });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}
