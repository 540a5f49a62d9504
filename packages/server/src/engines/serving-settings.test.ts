// Settings of memory and time as engines take them.
import { expect, test } from 'vitest';
import { loadConfig } from '../config.ts';
import { bytesOf, servingSettings } from './serving-settings.ts';

test.each([
  ['auto', 7],
  [1000, 1000],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['512 MiB', 512 * 2 ** 20],
  ['2GB', 2e9],
  ['3MB', 3e6],
])('%j is %d bytes', (setting, bytes) => {
  expect(bytesOf(setting, 7)).toBe(bytes);
});

const read = (environment: Record<string, string>) =>
  servingSettings(
    loadConfig({ environment: { CORRAL_HOME: '/nowhere', ...environment } }).serving,
    4000,
  );

test('auto is a share of what is free, for all models and for one', () => {
  expect(read({})).toMatchObject({
    maxBytes: 3000,
    memory: { limitBytes: 3000, waitMs: 60_000, idleMs: 1_800_000 },
  });
  const set = read({
    CORRAL_SERVING_MEMORY_LIMIT: '1GiB',
    CORRAL_SERVING_CHILD_MEMORY_LIMIT: '1000000',
    CORRAL_SERVING_WAIT_SECONDS: '0.5',
    CORRAL_SERVING_MAX_ADAPTERS: '7',
  });
  expect(set).toMatchObject({
    maxBytes: 1_000_000,
    maxAdapters: 7,
    memory: { limitBytes: 2 ** 30, waitMs: 500 },
  });
});

test('names of pinned models come as a list or with commas', () => {
  const environment = { CORRAL_HOME: '/nowhere', CORRAL_SERVING_PINNED: 'a,ft:b:c' };
  expect(loadConfig({ environment }).serving.pinned).toEqual(['a', 'ft:b:c']);
});
