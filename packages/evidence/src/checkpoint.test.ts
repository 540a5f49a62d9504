// Signed notes against the published example of Go's golang.org/x/mod/sumdb/note, and the rules of
// checkpoints: what is signed is read back, everything else is refused with its code.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createSigner,
  parseVerifierKey,
  signCheckpoint,
  signNote,
  verifyCheckpoint,
  verifyNote,
} from './checkpoint.ts';
import { generateSigningKey } from './crypto.ts';
import { leafHash } from './merkle-tree.ts';

// From the documentation of golang.org/x/mod/sumdb/note: type byte and seed, verifier key, signed text.
const seed = Buffer.from('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz', 'base64').subarray(1);
const goVerifierKey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const goText =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n";
const goNote = `${goText}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;
/** PKCS#8 DER of an Ed25519 seed (RFC 8410). */
const pkcs8 = (bytes: Uint8Array) =>
  Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), bytes]);

const signer = createSigner({ name: 'corral.example/log', privateKey: pkcs8(seed) });
const head = { size: 3, root: leafHash(new Uint8Array(3)) };
const code = (value: string) => expect.objectContaining({ code: value });

describe('signed notes', () => {
  it('gives the published key and signature', () => {
    const peter = createSigner({ name: 'PeterNeumann', privateKey: pkcs8(seed) });
    expect(peter.verifierKey).toBe(goVerifierKey);
    expect(signNote(goText, peter)).toBe(goNote);
    expect(verifyNote(goNote, goVerifierKey)).toBe(goText);
  });

  it('refuses a note of another key, and a further signature line', () => {
    const other = createSigner({ name: 'PeterNeumann', privateKey: generateSigningKey() });
    expect(() => verifyNote(goNote, other.verifierKey)).toThrow(code('signature_invalid'));
    expect(() => verifyNote(goNote, signer.verifierKey)).toThrow(code('signature_invalid'));
    const doubled = goNote + goNote.slice(goNote.indexOf('—'));
    expect(() => verifyNote(doubled, goVerifierKey)).toThrow(code('note_malformed'));
  });

  it.each(['', 'x+c74f20a3+AAAA', goVerifierKey.replace('c7', 'c8'), goVerifierKey.slice(0, -1)])(
    'refuses the verifier key %j',
    (key) => {
      expect(() => parseVerifierKey(key)).toThrow(code('key_invalid'));
    },
  );

  it.each(['a b', 'a+b', '', 'a\nb'])('refuses the key name %j', (name) => {
    expect(() => createSigner({ name, privateKey: pkcs8(seed) })).toThrow(code('key_invalid'));
  });

  it('refuses a key that is not Ed25519 in PKCS#8', () => {
    expect(() => createSigner({ name: 'a', privateKey: 'no pem' })).toThrow(code('key_invalid'));
    expect(() => createSigner({ name: 'a', privateKey: goVerifierKey })).toThrow(
      code('key_invalid'),
    );
  });
});

describe('checkpoints', () => {
  it('are read back as signed, for any size and generated key', () => {
    const fresh = createSigner({ name: 'log', privateKey: generateSigningKey() });
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (size, root) => {
          const text = signCheckpoint({ size, root }, fresh);
          expect(verifyCheckpoint(text, fresh.verifierKey)).toEqual({ origin: 'log', size, root });
        },
      ),
      { numRuns: 25 },
    );
  });

  it('fail for every flipped bit', () => {
    const bytes = Buffer.from(signCheckpoint(head, signer));
    for (let at = 0; at < bytes.length * 8; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect(() => verifyCheckpoint(changed.toString(), signer.verifierKey)).toThrow(
        expect.objectContaining({ name: 'EvidenceError' }),
      );
    }
  });

  it.each([
    ['another origin', 'other\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n'],
    [
      'a size with a leading zero',
      'corral.example/log\n03\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n',
    ],
    ['a short root', 'corral.example/log\n3\nAAAA\n'],
    [
      'an extension line',
      'corral.example/log\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx\n',
    ],
  ])('refuse a signed text with %s', (_, text) => {
    expect(() => verifyCheckpoint(signNote(text, signer), signer.verifierKey)).toThrow(
      code('checkpoint_malformed'),
    );
  });

  it('are not signed over a head that is none', () => {
    const malformed = code('checkpoint_malformed');
    expect(() => signCheckpoint({ ...head, size: -1 }, signer)).toThrow(malformed);
    expect(() => signCheckpoint({ ...head, root: new Uint8Array(3) }, signer)).toThrow(malformed);
  });
});
