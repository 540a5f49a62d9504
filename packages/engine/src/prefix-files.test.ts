// The prefix cache on disk: found by its owner only, by nobody when it was changed.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPrefixFiles } from './prefix-files.ts';
import { createFakeScheduler, createFakeTask } from './scheduler/scheduler.fake.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-prefix-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const open = (binding = 'model', maxBytes = 1e6) => openPrefixFiles({ folder, binding, maxBytes });
const prefix = (length = 20, offset = 0) => ({
  tokens: Int32Array.from({ length }, (_, i) => (i * 7 + offset) % 250),
  smallFrom: 16,
});
const state = Uint8Array.from({ length: 500 }, (_, i) => i % 256);
const names = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.prefix'));

describe('what is written', () => {
  it('is found by the same owner and model, now and after a restart', () => {
    const files = open();
    const file = files.write('ann', prefix(), state);
    for (const reader of [files, open()]) {
      expect(reader.of('ann')).toEqual([{ ...prefix(), file }]);
      expect(reader.read(file ?? '')).toEqual(state);
    }
  });

  it('is not found by another owner, model or build', () => {
    open().write('ann', prefix(), state);
    expect(open().of('bob')).toEqual([]);
    expect(open('another model').of('ann')).toEqual([]);
  });

  it('names neither owner nor tokens, and is for its process alone', () => {
    open().write('ann the tenant', prefix(), state);
    const [name = ''] = names();
    expect(name).toMatch(/^[0-9a-f]{64}\.prefix$/);
    expect(readFileSync(join(folder, name)).includes('ann')).toBe(false);
    for (const file of [name, 'key']) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    const other = mkdtempSync(join(tmpdir(), 'corral-prefix-'));
    openPrefixFiles({ folder: other, binding: 'model', maxBytes: 1e6 }).write(
      'ann the tenant',
      prefix(),
      state,
    );
    expect(readdirSync(other)).not.toContain(name);
    rmSync(other, { recursive: true });
  });

  it('is never bound to a key that was written by half', () => {
    writeFileSync(join(folder, 'key'), '');
    const file = open().write('ann', prefix(), state) ?? '';
    expect(statSync(join(folder, 'key')).size).toBe(32);
    expect(open().read(file)).toEqual(state);
  });

  it('is never more than allowed, and what a killed process left half goes', () => {
    const files = open('model', 3000);
    for (let i = 0; i < 20; i++) {
      files.write(`owner ${i % 4}`, prefix(20, i), state);
      const bytes = names().reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
      expect(bytes).toBeLessThanOrEqual(3000);
    }
    expect(names().length).toBeGreaterThan(1);
    const found = [0, 1, 2, 3].flatMap((i) => files.of(`owner ${i}`)).map(({ file }) => file);
    expect(found.toSorted()).toEqual(names().toSorted());
    expect(files.write('large', prefix(), new Uint8Array(4000))).toBeNull();
    writeFileSync(join(folder, 'half.prefix.new'), state);
    open('model', 3000);
    expect(readdirSync(folder)).not.toContain('half.prefix.new');
  });

  it('goes, the oldest first, when there is too much', () => {
    const files = open();
    for (let i = 0; i < 10; i++) files.write('ann', prefix(20, i), state);
    open('model', 3000);
    const sizes = names().map((name) => statSync(join(folder, name)).size);
    expect(sizes.length).toBeGreaterThan(0);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(3000);
  });
});

describe('a file that was changed', () => {
  it.each([0, 9, 20, 50, 60, 70, 150, 300, -1])(
    'at byte %i counts as not there, and is removed',
    (at) => {
      const file = open().write('ann', prefix(), state) ?? '';
      const path = join(folder, file);
      const bytes = readFileSync(path);
      const place = at < 0 ? bytes.length + at : at;
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      expect(open().read(file)).toBeNull();
      expect(names()).toEqual([]);
    },
  );

  it.each([0, 10, 60, 100, 400])('by cutting it to %i bytes counts as not there', (length) => {
    const file = open().write('ann', prefix(), state) ?? '';
    const path = join(folder, file);
    writeFileSync(path, readFileSync(path).subarray(0, length));
    expect(
      open()
        .of('ann')
        .map((stored) => open().read(stored.file)),
    ).not.toContainEqual(state);
    expect(open().read(file)).toBeNull();
  });
});

describe('a scheduler', () => {
  const prompt = Array.from({ length: 150 }, (_, i) => (i * 3) % 250);
  function ask(options: { tenant?: string } = {}) {
    const kit = createFakeScheduler({ prefixFiles: open() });
    const task = createFakeTask({ id: 'x', prompt, ...options });
    kit.scheduler.submit(task);
    kit.run();
    while (kit.scheduler.persistOne());
    return task;
  }

  it('finds what another left for the same tenant, and says the same', () => {
    const first = ask();
    const again = ask();
    expect(again.cached[0]).toBeGreaterThan(100);
    expect(again.answer).toEqual(first.answer);
    expect(ask({ tenant: 'other' }).cached).toEqual([0]);
  });

  it('computes anew what was damaged', () => {
    const first = ask();
    for (const name of names()) {
      const bytes = readFileSync(join(folder, name));
      bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 1;
      writeFileSync(join(folder, name), bytes);
    }
    const again = ask();
    expect(again.cached).toEqual([0]);
    expect(again.answer).toEqual(first.answer);
  });
});
