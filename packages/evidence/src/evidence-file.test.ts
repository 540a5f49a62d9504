// Exported files: verified as written, refused after any change of any byte, with the place named.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { toBase64, utf8 } from './bytes.ts';
import { canonicalJson } from './canonical-json.ts';
import { createSigner, signCheckpoint } from './checkpoint.ts';
import { generateSigningKey } from './crypto.ts';
import { bundleFileLines, proofFileText, verifyEvidenceFile } from './evidence-file.ts';
import type { EvidenceBundle, EvidenceProof } from './evidence-types.ts';
import { MerkleTree } from './memory-tree.ts';
import { leafHash } from './merkle-tree.ts';
import { verifyBundle, verifyProof } from './verify.ts';

const signer = createSigner({ name: 'corral.example/log', privateKey: generateSigningKey() });
const leafOf = (n: number) => canonicalJson({ action: 'test.done', n, note: 'Grüße 🐎' });

function logOf(count: number) {
  const leaves = Array.from({ length: count }, (_, n) => leafOf(n));
  const tree = new MerkleTree();
  for (const leaf of leaves) tree.append(leafHash(utf8(leaf)));
  const checkpoint = signCheckpoint({ size: count, root: tree.root() }, signer);
  const bundle: EvidenceBundle = {
    schema: 'corral-evidence/1',
    leaves,
    checkpoint,
    verifier_key: signer.verifierKey,
  };
  const proofOf = (index: number): EvidenceProof => ({
    schema: 'corral-proof/1',
    index,
    leaf: leafOf(index),
    proof: tree.inclusionProof(index).map(toBase64),
    checkpoint,
    verifier_key: signer.verifierKey,
  });
  return { bundle, proofOf };
}

const fileOf = (bundle: EvidenceBundle) => Buffer.from([...bundleFileLines(bundle)].join(''));
const { bundle, proofOf } = logOf(5);
const file = fileOf(bundle);
// Two entries are enough for every kind of byte, and each byte costs a dozen verifications.
const small = logOf(2);
const codes = (verdict: { problems: readonly { code: string }[] }) =>
  verdict.problems.map(({ code }) => code);
const edited = (from: string, to: string) => Buffer.from(file.toString().replace(from, to));

describe.each([
  ['log', fileOf(small.bundle)],
  ['proof', Buffer.from(proofFileText(small.proofOf(1)))],
])('an exported %s', (_, original) => {
  it('verifies', () => {
    const verdict = verifyEvidenceFile(original, { verifierKey: signer.verifierKey });
    expect(verdict).toMatchObject({ ok: true, problemCount: 0, head: { size: 2 } });
  });

  it('fails after a change of any one byte', () => {
    for (let at = 0; at < original.length; at += 1) {
      // A low bit, the bit of letter case, a bit that breaks ASCII, and a newline.
      for (const other of [0x01, 0x20, 0x80, (original[at] ?? 0) ^ 0x0a]) {
        if (other === 0) continue;
        const changed = Buffer.from(original);
        changed[at] = (original[at] ?? 0) ^ other;
        const verdict = verifyEvidenceFile(changed);
        expect(verdict.ok, `byte ${at} ^ ${other}`).toBe(false);
        expect(verdict.problems.length).toBeGreaterThan(0);
      }
    }
  });

  it('fails after losing or gaining any one byte', () => {
    for (let at = 0; at <= original.length; at += 1) {
      const [before, after] = [original.subarray(0, at), original.subarray(at)];
      const shorter = Buffer.concat([original.subarray(0, Math.max(0, at - 1)), after]);
      expect(at > 0 && verifyEvidenceFile(shorter).ok, `without byte ${at - 1}`).toBe(false);
      for (const extra of [' ', '\n', '0']) {
        const longer = Buffer.concat([before, Buffer.from(extra), after]);
        expect(verifyEvidenceFile(longer).ok, `${JSON.stringify(extra)} at ${at}`).toBe(false);
      }
    }
  });
});

describe('what is wrong', () => {
  it('names the changed entry, its line and its bytes', () => {
    const verdict = verifyEvidenceFile(edited('"n":2', '"n":7'));
    const start = file.indexOf('\n', file.indexOf('"n":1')) + 1;
    expect(verdict.problems).toEqual([
      {
        code: 'entry_changed',
        leaf: 2,
        line: 4,
        bytes: { start, end: file.indexOf('\n', start) + 1 },
        message: expect.stringContaining('vouches'),
      },
    ]);
  });

  it('tells a changed hash from a changed entry', () => {
    const hash = toBase64(leafHash(utf8(leafOf(2))));
    const other = toBase64(leafHash(utf8('other')));
    expect(verifyEvidenceFile(edited(hash, other)).problems).toMatchObject([
      { code: 'hash_changed', leaf: 2 },
    ]);
  });

  it('finds an entry replaced together with its hash', () => {
    const forged = logOf(5).bundle.leaves.with(2, leafOf(9));
    expect(codes(verifyEvidenceFile(fileOf({ ...bundle, leaves: forged })))).toEqual([
      'root_mismatch',
    ]);
  });

  it('finds removed, moved and doubled lines', () => {
    const lines = file.toString().split(/(?<=\n)/);
    const variants = [
      lines.toSpliced(2, 1),
      lines.with(2, lines[3] ?? '').with(3, lines[2] ?? ''),
      lines.toSpliced(2, 0, lines[2] ?? ''),
      lines.slice(0, 3),
      lines.slice(1),
      [],
    ];
    for (const variant of variants) {
      expect(verifyEvidenceFile(Buffer.from(variant.join(''))).ok).toBe(false);
    }
  });

  it('says that a log of another key is not the expected one, even when it is whole', () => {
    const mine = createSigner({ name: signer.name, privateKey: generateSigningKey() });
    const verdict = verifyEvidenceFile(file, { verifierKey: mine.verifierKey });
    expect(codes(verdict)).toEqual(['key_unexpected', 'signature_invalid']);
  });

  it('compares a proof with an older head of its size, and says so when it cannot', () => {
    const proof = Buffer.from(proofFileText(proofOf(1)));
    const checked = (olderCheckpoint: string) => verifyEvidenceFile(proof, { olderCheckpoint });
    expect(checked(bundle.checkpoint)).toMatchObject({ ok: true });
    expect(codes(checked(logOf(3).bundle.checkpoint))).toEqual(['history_unknown']);
    const tree = new MerkleTree();
    for (const text of ['a', 'b', 'c', 'd', 'e']) tree.append(leafHash(utf8(text)));
    const foreign = signCheckpoint({ size: 5, root: tree.root() }, signer);
    expect(codes(checked(foreign))).toEqual(['history_rewritten']);
    expect(codes(checked('no head'))).toEqual(['signature_invalid']);
  });

  it('says that history was rewritten since an older head', () => {
    const older = logOf(3).bundle.checkpoint;
    expect(verifyEvidenceFile(file, { olderCheckpoint: older }).ok).toBe(true);
    const shorter = fileOf(logOf(2).bundle);
    expect(codes(verifyEvidenceFile(shorter, { olderCheckpoint: older }))).toEqual([
      'history_rewritten',
    ]);
    const tree = new MerkleTree();
    for (const text of ['a', 'b', 'c']) tree.append(leafHash(utf8(text)));
    const foreign = signCheckpoint({ size: 3, root: tree.root() }, signer);
    expect(codes(verifyEvidenceFile(file, { olderCheckpoint: foreign }))).toEqual([
      'history_rewritten',
    ]);
  });

  it('keeps the first 20 problems and counts all', () => {
    const text = fileOf(logOf(30).bundle).toString().replaceAll('"test.done"', '"test.gone"');
    expect(verifyEvidenceFile(Buffer.from(text))).toMatchObject({ problemCount: 30 });
    expect(verifyEvidenceFile(Buffer.from(text)).problems.length).toBe(20);
  });
});

describe('in memory', () => {
  it('verifies a log of no entries, a whole log and every proof', () => {
    expect(verifyBundle(logOf(0).bundle).ok).toBe(true);
    expect(verifyEvidenceFile(fileOf(logOf(0).bundle)).ok).toBe(true);
    expect(verifyBundle(bundle).ok).toBe(true);
    for (const index of [0, 1, 2, 3, 4]) expect(verifyProof(proofOf(index)).ok).toBe(true);
  });

  it('refuses changed leaves, sizes and positions', () => {
    const { leaves } = bundle;
    expect(codes(verifyBundle({ ...bundle, leaves: leaves.with(1, leafOf(8)) }))).toEqual([
      'root_mismatch',
    ]);
    expect(codes(verifyBundle({ ...bundle, leaves: leaves.slice(1) }))).toEqual(['size_mismatch']);
    expect(codes(verifyBundle({ ...bundle, leaves: leaves.with(0, '{ }') }))).toContain(
      'entry_malformed',
    );
    for (const index of [2, 5, -1, 0.5]) {
      expect(codes(verifyProof({ ...proofOf(3), index }))).toEqual(['proof_invalid']);
    }
  });

  it('keeps a proof within 2 KB for a log of a million entries', () => {
    const { proof: _, ...rest } = proofOf(0);
    const proof = Array.from({ length: 20 }, () => toBase64(leafHash(utf8('x'))));
    const text = proofFileText({ ...rest, proof, leaf: '' });
    expect(text.length).toBeLessThan(2048);
  });
});

describe('the stand-alone verifier', () => {
  const folder = mkdtempSync(join(tmpdir(), 'evidence-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const program = fileURLToPath(new URL('verify-file.ts', import.meta.url));
  const run = (...args: string[]) => {
    try {
      return {
        code: 0,
        text: execFileSync(process.execPath, [program, ...args], { stdio: 'pipe' }).toString(),
      };
    } catch (error) {
      const { status, stdout } = error as { status: number; stdout: Buffer };
      return { code: status, text: stdout.toString() };
    }
  };

  it('answers with words and an exit code', () => {
    const [good, bad] = [join(folder, 'good'), join(folder, 'bad')];
    writeFileSync(good, file);
    writeFileSync(bad, edited('"n":2', '"n":7'));
    expect(run(good, '--key', signer.verifierKey)).toMatchObject({
      code: 0,
      text: expect.stringContaining('VERIFIED: all of 5 entries'),
    });
    expect(run(bad)).toMatchObject({ code: 1, text: expect.stringContaining('entry 2, line 4') });
    expect(run()).toMatchObject({ code: 2 });
    expect(run(join(folder, 'missing'))).toMatchObject({ code: 2 });
  });
});
