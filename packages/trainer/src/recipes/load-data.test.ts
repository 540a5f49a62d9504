// What a run keeps of its data between sittings, and when it makes it again.
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunConfigInput, type RunEvent, runConfigSchema } from '@corral/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resolveConfig } from '../config/resolve-config.ts';
import type { ExampleStore } from '../data/data-set.ts';
import { type RunData, loadData } from './load-data.ts';
import type { Run } from './run.ts';
import { writeToyInputs } from './toy-run.fake.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-load-'));
  writeToyInputs(folder, 40);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

interface Sitting {
  readonly identity?: string;
  readonly data?: Partial<RunConfigInput['data']>;
  readonly signal?: AbortSignal;
}

async function sit({ identity = 'one', data = {}, signal }: Sitting = {}) {
  const events: RunEvent[] = [];
  const config = runConfigSchema.parse({
    model: 'model',
    data: { train: 'rows.jsonl', context_length: 64, ...data },
  });
  const run: Run = {
    config: await resolveConfig(config, folder),
    identity,
    output: join(folder, 'output'),
    signal: signal ?? new AbortController().signal,
    emit: (event) => {
      events.push(event);
    },
    openModel: () => Promise.reject(new Error('no model is needed')),
  };
  const loaded = await loadData(run);
  const tokenised = events.some((event) => event.type === 'phase' && event.name === 'tokenise');
  return { loaded, tokenised, events };
}

const contentsOf = (store: ExampleStore) =>
  Array.from({ length: store.count }, (_, index) => ({
    row: store.rowOf(index),
    ...store.get(index),
  }));
const allOf = ({ train, validation, report }: RunData) => ({
  train: contentsOf(train),
  validation: contentsOf(validation),
  report,
});
const examples = () => join(folder, 'output', 'examples');

describe('the examples of a run', () => {
  test('are made once and found again by the next sitting', async () => {
    const first = await sit();
    const before = allOf(first.loaded);
    first.loaded[Symbol.dispose]();
    const second = await sit();
    expect([first.tokenised, second.tokenised]).toEqual([true, false]);
    expect(allOf(second.loaded)).toEqual(before);
    expect(before.train.length + before.validation.length).toBe(40);
    await second.loaded.discard();
    expect(existsSync(examples())).toBe(false);
  });

  test('are made again for another run, and when a file is not whole', async () => {
    (await sit()).loaded[Symbol.dispose]();
    const other = await sit({ identity: 'two' });
    other.loaded[Symbol.dispose]();
    truncateSync(join(examples(), 'data', 'train.tokens'), 5);
    const cut = await sit({ identity: 'two' });
    cut.loaded[Symbol.dispose]();
    writeFileSync(join(examples(), 'manifest.json'), '{"schema": ');
    const broken = await sit({ identity: 'two' });
    broken.loaded[Symbol.dispose]();
    expect([other, cut, broken].map(({ tokenised }) => tokenised)).toEqual([true, true, true]);
  });

  test('may be held out by a file of their own', async () => {
    writeFileSync(join(folder, 'held.csv'), 'prompt,completion\na,b\nc,d\n');
    const { loaded } = await sit({ data: { validation: 'held.csv' } });
    using open = loaded;
    expect([open.train.count, open.validation.count]).toEqual([40, 2]);
    const again = await sit({ data: { validation: 'held.csv' } });
    expect(again.tokenised).toBe(false);
    expect(again.loaded.validation.count).toBe(2);
    again.loaded[Symbol.dispose]();
  });

  test('leave nothing behind when a row cannot be used', async () => {
    writeFileSync(join(folder, 'bad.jsonl'), '{"foo": 1}\n');
    await expect(sit({ data: { train: 'bad.jsonl' } })).rejects.toMatchObject({
      code: 'data_invalid',
    });
    expect(existsSync(examples())).toBe(false);
  });

  test('that are too long are told in a warning', async () => {
    const long = JSON.stringify({ prompt: 'x'.repeat(90), completion: 'y' });
    writeFileSync(join(folder, 'long.jsonl'), `${long}\n{"prompt": "a", "completion": "b"}\n`);
    const { loaded, events } = await sit({ data: { train: 'long.jsonl', truncate: 'drop' } });
    using open = loaded;
    expect(open.train.count + open.validation.count).toBe(1);
    expect(events).toContainEqual({
      type: 'warning',
      message: expect.stringMatching(/^1 row is longer than context_length 64 .* left out/),
    });
  });
});
