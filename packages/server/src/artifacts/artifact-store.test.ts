import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createArtifactStore } from './artifact-store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const files = (): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );

describe('artefact store', () => {
  it('names content by its hash however it arrives in pieces', async () => {
    const store = createArtifactStore(folder);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 100 })), async (pieces) => {
        const whole = Buffer.concat(pieces);
        const stored = await store.put(Readable.from(pieces.map((piece) => Buffer.from(piece))));
        expect(stored.sha256).toBe(createHash('sha256').update(whole).digest('hex'));
        expect(stored.bytes).toBe(whole.length);
        expect(readFileSync(stored.path).equals(whole)).toBe(true);
        expect(await store.verify(stored.sha256)).toEqual(stored);
      }),
      { numRuns: 20 },
    );
  });

  it('leaves nothing of a source that breaks or is too large', async () => {
    const store = createArtifactStore(folder);
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('half');
        throw new Error('cut');
      })(),
    );
    await expect(store.put(broken)).rejects.toThrow('cut');
    await expect(
      store.put(Readable.from([Buffer.alloc(11)]), { maxBytes: 10 }),
    ).rejects.toMatchObject({ code: 'payload_too_large' });
    const staged = await store.stage(Readable.from([Buffer.from('unwanted')]));
    await staged.discard();
    expect(files()).toEqual([]);
  });

  it('finds a changed byte, and takes only hashes for names', async () => {
    const store = createArtifactStore(folder);
    const { sha256, path } = await store.put(Readable.from([Buffer.from('true')]));
    expect([await store.has(sha256), await store.has('0'.repeat(64))]).toEqual([true, false]);
    writeFileSync(path, 'lies');
    await expect(store.verify(sha256)).rejects.toMatchObject({ code: 'digest_mismatch' });
    await store.remove(sha256);
    expect(await store.has(sha256)).toBe(false);
    expect(() => store.path('../../etc/passwd')).toThrow('Not a SHA-256');
  });
});
