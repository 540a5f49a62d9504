// Signed log heads: C2SP signed-note with one Ed25519 signature, and the C2SP checkpoint in it
// (https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint). Reading is strict: one text per
// content, so any changed byte is found. It knows nothing of what the log holds.
import { equalBytes, fromBase64, toBase64, toHex, utf8 } from './bytes.ts';
import { importSigningKey, sha256, verifyEd25519 } from './crypto.ts';
import { EvidenceError } from './evidence-error.ts';

/** signed-note signature type of Ed25519. */
const ed25519Type = 0x01;
const namePattern = /^[^\s+\p{C}]+$/u;
const maxNameLength = 256;

export interface Verifier {
  readonly name: string;
  /** SHA-256(name ‖ "\n" ‖ 0x01 ‖ key)[:4]. */
  readonly keyId: Uint8Array;
  /** Raw Ed25519 key, 32 bytes. */
  readonly publicKey: Uint8Array;
}
export interface CheckpointSigner extends Verifier {
  /** `name+hash+base64`: what readers need. */
  readonly verifierKey: string;
  readonly sign: (message: Uint8Array) => Uint8Array;
}
export interface TreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}
export interface Checkpoint extends TreeHead {
  /** First line: names the log; Corral uses the key's name. */
  readonly origin: string;
}

function checkName(name: string): void {
  if (name.length > maxNameLength || !name.isWellFormed() || !namePattern.test(name)) {
    throw new EvidenceError(
      'key_invalid',
      `The key name ${JSON.stringify(name)} must be 1 to ${maxNameLength} characters without spaces and "+".`,
    );
  }
}

const typedKey = (publicKey: Uint8Array): Uint8Array =>
  Uint8Array.from([ed25519Type, ...publicKey]);
const keyIdOf = (name: string, publicKey: Uint8Array): Uint8Array =>
  sha256(Uint8Array.from([...utf8(`${name}\n`), ...typedKey(publicKey)])).subarray(0, 4);

/** A signer from a PKCS#8 Ed25519 key (PEM text or DER bytes). Throws `key_invalid`. */
export function createSigner(options: {
  readonly name: string;
  readonly privateKey: string | Uint8Array;
}): CheckpointSigner {
  const { name, privateKey } = options;
  checkName(name);
  const { publicKey, sign } = importSigningKey(privateKey);
  const keyId = keyIdOf(name, publicKey);
  const verifierKey = `${name}+${toHex(keyId)}+${toBase64(typedKey(publicKey))}`;
  return { name, keyId, publicKey, verifierKey, sign };
}

/** Reads `name+hash+base64`. Throws `key_invalid` when a part is wrong or they do not belong together. */
export function parseVerifierKey(text: string): Verifier {
  const [name = '', hash = '', ...rest] = text.split('+');
  checkName(name);
  // Base64 may itself contain "+".
  const key = fromBase64(rest.join('+'));
  if (key?.length !== 33 || key[0] !== ed25519Type) {
    throw new EvidenceError('key_invalid', `"${text}" does not hold a base64 Ed25519 key.`);
  }
  const publicKey = key.subarray(1);
  const keyId = keyIdOf(name, publicKey);
  if (toHex(keyId) !== hash) {
    throw new EvidenceError('key_invalid', `The hash in "${text}" is not that of its key.`);
  }
  return { name, keyId, publicKey };
}

/** Signs `text` (which ends in a newline) as a C2SP note. */
export function signNote(text: string, signer: CheckpointSigner): string {
  if (!text.endsWith('\n')) {
    throw new EvidenceError('note_malformed', 'The text of a note must end in a newline.');
  }
  const signature = signer.sign(utf8(text));
  return `${text}\n— ${signer.name} ${toBase64(Uint8Array.from([...signer.keyId, ...signature]))}\n`;
}

/**
 * The text of a note signed by `verifierKey`. Exactly one signature line is accepted: further lines
 * would be bytes that nothing vouches for. Throws `note_malformed`, `key_invalid`, `signature_invalid`.
 */
export function verifyNote(note: string, verifierKey: string): string {
  const verifier = parseVerifierKey(verifierKey);
  const end = note.lastIndexOf('\n\n');
  const line = end < 0 ? '' : note.slice(end + 2);
  const match = /^— (\S+) (\S+)\n$/u.exec(line);
  if (match === null) {
    throw new EvidenceError('note_malformed', 'Not a signed note: no single signature line.');
  }
  const [, name, encoded = ''] = match;
  const bytes = fromBase64(encoded);
  if (name !== verifier.name) {
    throw new EvidenceError(
      'signature_invalid',
      `The note is signed by "${name}", not by "${verifier.name}".`,
    );
  }
  if (bytes?.length !== 68 || !equalBytes(bytes.subarray(0, 4), verifier.keyId)) {
    throw new EvidenceError('signature_invalid', 'The signature is of another key, or damaged.');
  }
  const text = note.slice(0, end + 1);
  if (!verifyEd25519(verifier.publicKey, utf8(text), bytes.subarray(4))) {
    throw new EvidenceError('signature_invalid', 'The signature does not fit the signed text.');
  }
  return text;
}

/** A signed checkpoint over a tree head. The origin is the signer's name, as C2SP recommends. */
export function signCheckpoint(head: TreeHead, signer: CheckpointSigner): string {
  if (!Number.isSafeInteger(head.size) || head.size < 0 || head.root.length !== 32) {
    throw new EvidenceError('checkpoint_malformed', 'A head needs a size and a root of 32 bytes.');
  }
  return signNote(`${signer.name}\n${head.size}\n${toBase64(head.root)}\n`, signer);
}

/**
 * Reads and verifies a signed checkpoint. Throws EvidenceError `note_malformed`, `key_invalid`,
 * `signature_invalid`, or `checkpoint_malformed` (signed, but not a head of this log).
 */
export function verifyCheckpoint(checkpoint: string, verifierKey: string): Checkpoint {
  const [origin = '', sizeText = '', rootText = '', ...rest] = verifyNote(
    checkpoint,
    verifierKey,
  ).split('\n');
  const root = fromBase64(rootText);
  const size = Number(sizeText);
  const wellFormed =
    rest.join('\n') === '' &&
    origin === parseVerifierKey(verifierKey).name &&
    /^(0|[1-9]\d*)$/.test(sizeText) &&
    Number.isSafeInteger(size);
  if (!wellFormed || root?.length !== 32) {
    throw new EvidenceError('checkpoint_malformed', 'The signed text is not a checkpoint.');
  }
  return { origin, size, root };
}
