// Identity of a pack: its digest, and the DSSE signature over it (https://github.com/secure-systems-lab/dsse).
// Both cover the pack without its signature and with every default written out. Hashing and signing are
// given by the caller: this package does no cryptography of its own.
import { canonicalText } from './canonical.ts';
import type { PolicyPack } from './pack-schema.ts';
import { PolicyError } from './policy-error.ts';

/** SHA-256 of bytes, 32 bytes. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;
/** True when `signature` over `message` is by the key that the operator trusts under `keyId`. */
export type SignatureVerifier = (request: {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly keyId: string;
}) => boolean;

const payloadType = 'application/vnd.corral.policy-pack+json';

function signedBytes(pack: PolicyPack): Uint8Array {
  const { signature: _, ...signed } = pack;
  return new TextEncoder().encode(canonicalText(signed));
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** SHA-256 in hex of the pack's canonical JSON, signature left out. */
export const packDigest = (pack: PolicyPack, sha256: Sha256): string =>
  toHex(sha256(signedBytes(pack)));

/** The bytes to sign: DSSE's pre-authentication encoding of the pack. */
export function packSigningBytes(pack: PolicyPack): Uint8Array {
  const body = signedBytes(pack);
  const head = new TextEncoder().encode(
    `DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `,
  );
  return Uint8Array.from([...head, ...body]);
}

/**
 * Checks the pack's signature with the caller's verifier. Throws PolicyError `signature_invalid` when
 * there is none, it is not base64, or the verifier refuses it.
 */
export function verifyPackSignature(pack: PolicyPack, verify: SignatureVerifier): void {
  const refuse = (reason: string): never => {
    throw new PolicyError('signature_invalid', `The pack ${pack.id}@${pack.version} ${reason}.`);
  };
  const text = pack.signature?.dsse ?? refuse('is not signed');
  const keyId = pack.publisher.keyId ?? refuse('names no key of its publisher');
  let signature: Uint8Array;
  try {
    signature = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    signature = refuse('has a signature that is not base64');
  }
  if (!verify({ message: packSigningBytes(pack), signature, keyId })) {
    refuse(`is not signed by the key "${keyId}", or was changed after it was signed`);
  }
}
