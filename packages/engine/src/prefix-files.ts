// The prefix cache on disk: keys and values of prompts, found again after a restart. A file's name and its
// owner (model, tenant, adapter) are keyed hashes, so the folder names neither, and each file carries a keyed
// hash of all it holds: one that was cut or changed is removed and counts as not there. What prompts said is
// in the files, readable by the owner of the process only. Synchronous: the engine's loop is.
import { createHmac, randomBytes, timingSafeEqual, type Hmac } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

interface StoredPrefix {
  /** Name of the file. */
  readonly file: string;
  readonly tokens: Int32Array;
  /** First position that was computed in a small piece; Infinity when none was. */
  readonly smallFrom: number;
}

export interface PrefixFiles {
  /** What there is of an owner; tokens only. */
  of(owner: string): readonly StoredPrefix[];
  /** The saved state; null when the file is gone or was changed: it is removed then. */
  read(file: string): Uint8Array | null;
  /** The name of the new file; null when it cannot be written. */
  write(owner: string, prefix: Omit<StoredPrefix, 'file'>, state: Uint8Array): string | null;
  remove(file: string): void;
}

export interface PrefixFilesOptions {
  readonly folder: string;
  /** Everything that decides what saved bytes mean: model, build, kind of cache. */
  readonly binding: string;
  readonly maxBytes: number;
}

const magic = Buffer.from('CORRALKV1\n      ');
const hashBytes = 32;
const headerBytes = magic.length + hashBytes + 8;
const noneSmall = 0xffff_ffff;
const suffix = '.prefix';
const unfinished = `${suffix}.new`;
/** A prompt is never longer: bounds what a broken header can ask for. */
const mostTokens = 2 ** 22;

/** The key of the folder, made when it is first used, and anew where a process was killed while it wrote. */
function openKey(folder: string): Buffer {
  const path = join(folder, 'key');
  const known = existsSync(path) ? readFileSync(path) : null;
  if (known?.length === hashBytes) return known;
  const key = randomBytes(hashBytes);
  writeFileSync(`${path}.new`, key, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return key;
}

/** Header and tokens of a file; null when it is none of ours. */
function readHead(path: string): { owner: string; tokens: Int32Array; smallFrom: number } | null {
  const descriptor = openSync(path, 'r');
  try {
    const head = Buffer.alloc(headerBytes);
    if (readSync(descriptor, head) < headerBytes || !head.subarray(0, magic.length).equals(magic))
      return null;
    const smallFrom = head.readUInt32LE(headerBytes - 8);
    const count = head.readUInt32LE(headerBytes - 4);
    if (count > mostTokens) return null;
    const tokens = new Int32Array(count);
    const bytes = new Uint8Array(tokens.buffer);
    if (readSync(descriptor, bytes) < bytes.length) return null;
    const owner = head.subarray(magic.length, magic.length + hashBytes).toString('hex');
    return { owner, tokens, smallFrom: smallFrom === noneSmall ? Infinity : smallFrom };
  } finally {
    closeSync(descriptor);
  }
}

/** Removes the oldest files until the others are within `maxBytes`; the names of those, and their bytes. */
function shrink(folder: string, maxBytes: number): { names: string[]; bytes: number } {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(suffix))
    .map((name) => ({ name, stat: statSync(join(folder, name)) }))
    .toSorted((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
  const names: string[] = [];
  let bytes = 0;
  let isFull = false;
  for (const { name, stat } of files) {
    isFull ||= bytes + stat.size > maxBytes;
    if (isFull) {
      rmSync(join(folder, name), { force: true });
      continue;
    }
    bytes += stat.size;
    names.push(name);
  }
  return { names, bytes };
}

/** Left by a process that was killed while it wrote. */
function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder))
    if (name.endsWith(unfinished)) rmSync(join(folder, name), { force: true });
}

/** What stands before the state: magic, owner, two counts, tokens. */
function encodeHead(owner: Buffer, { tokens, smallFrom }: Omit<StoredPrefix, 'file'>): Buffer {
  const head = Buffer.alloc(headerBytes);
  magic.copy(head);
  owner.copy(head, magic.length);
  head.writeUInt32LE(smallFrom === Infinity ? noneSmall : smallFrom, headerBytes - 8);
  head.writeUInt32LE(tokens.length, headerBytes - 4);
  return Buffer.concat([head, new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)]);
}

/** The files of a folder by the hash of their owner, never more than `maxBytes` of them. */
class FileIndex {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #known = new Map<string, StoredPrefix[]>();
  #bytes: number;

  constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    removeUnfinished(folder);
    const { names, bytes } = shrink(folder, maxBytes);
    this.#bytes = bytes;
    for (const file of names) {
      const head = readHead(join(folder, file));
      if (!head) continue;
      const { owner, ...stored } = head;
      this.#put(owner, { ...stored, file });
    }
  }

  of(owner: string): readonly StoredPrefix[] {
    return this.#known.get(owner) ?? [];
  }

  /** Writes a file in the place of the one of that name; throws what the file system throws. */
  add(owner: string, prefix: StoredPrefix, bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    const path = join(this.#folder, prefix.file);
    writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#bytes += bytes.length;
    this.#put(owner, prefix);
  }

  remove(file: string): void {
    rmSync(join(this.#folder, file), { force: true });
    this.#keep((stored) => stored.file !== file);
  }

  /** Files of others than who asks now count, too. */
  #makeRoom(bytes: number): void {
    if (this.#bytes + bytes <= this.#maxBytes) return;
    const left = shrink(this.#folder, this.#maxBytes - bytes);
    const names = new Set(left.names);
    this.#bytes = left.bytes;
    this.#keep(({ file }) => names.has(file));
  }

  #put(owner: string, prefix: StoredPrefix): void {
    const others = this.of(owner).filter(({ file }) => file !== prefix.file);
    this.#known.set(owner, [...others, prefix]);
  }

  #keep(test: (stored: StoredPrefix) => boolean): void {
    for (const [owner, list] of this.#known) this.#known.set(owner, list.filter(test));
  }
}

/** Throws what the file system throws when the folder cannot be made or read. */
export function openPrefixFiles({ folder, binding, maxBytes }: PrefixFilesOptions): PrefixFiles {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const key = openKey(folder);
  const keyed = (): Hmac => createHmac('sha256', key);
  const ownerHash = (owner: string): Buffer => keyed().update(`${binding}\n${owner}`).digest();
  const index = new FileIndex(folder, maxBytes);
  return {
    of: (owner) => index.of(ownerHash(owner).toString('hex')),
    remove: (file) => index.remove(file),
    read: (file) => {
      try {
        const bytes = readFileSync(join(folder, file));
        const end = bytes.length - hashBytes;
        const count = bytes.readUInt32LE(headerBytes - 4);
        const hash = keyed()
          .update(bytes.subarray(0, Math.max(0, end)))
          .digest();
        if (end > 0 && timingSafeEqual(hash, bytes.subarray(end)))
          return new Uint8Array(bytes.subarray(headerBytes + count * 4, end));
      } catch {
        // Gone, cut to nothing, unreadable: as if it had never been.
      }
      index.remove(file);
      return null;
    },
    write: (owner, { tokens, smallFrom }, state) => {
      const hashed = ownerHash(owner);
      const head = encodeHead(hashed, { tokens, smallFrom });
      const hash = keyed().update(head).update(state).digest();
      const file = keyed().update('name').update(head).digest('hex') + suffix;
      const whole = Buffer.concat([head, state, hash]);
      if (whole.length > maxBytes) return null;
      try {
        index.add(hashed.toString('hex'), { file, tokens, smallFrom }, whole);
        return file;
      } catch {
        // A full disk costs the cache, not the answer.
        rmSync(join(folder, `${file}.new`), { force: true });
        return null;
      }
    },
  };
}
