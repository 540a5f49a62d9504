import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig, parseConfig } from './load-config.ts';
import { resolvePrecision } from './precision.ts';
import { resolveConfig, resolveMemoryLimit, runIdentity } from './resolve-config.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-config-'));
  writeFileSync(join(folder, 'base.gguf'), 'weights');
  writeFileSync(join(folder, 'rows.jsonl'), 'rows');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const minimal = 'model: base.gguf\ndata: { train: rows.jsonl }\n';
const problemsOf = (text: string): unknown => {
  try {
    parseConfig(text, 'run.yaml');
  } catch (error) {
    if (CorralError.isInstance(error) && error.code === 'config_invalid') {
      return error.details?.['problems'];
    }
    throw error;
  }
  return [];
};

describe('a run configuration', () => {
  test('has defaults for all but model and data', () => {
    const config = parseConfig(minimal, 'run.yaml');
    expect(config).toMatchObject({ method: 'lora', lora: { rank: 16 }, train: { epochs: 3 } });
    expect(parseConfig('{"model": "m", "data": {"train": "t"}}', 'run.json').model).toBe('m');
  });

  test('is refused with every mistake and its line', () => {
    const text = `model: base.gguf
metod: lora
data:
  train: rows.jsonl
  packing: maybe
train:
  learning_rate: -1
  epohcs: 3
lora: { rank: 0 }
`;
    expect(problemsOf(text)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ line: 2, key: 'metod', reason: 'unknown key' }),
        expect.objectContaining({ line: 5, key: 'data.packing' }),
        expect.objectContaining({ line: 7, key: 'train.learning_rate' }),
        expect.objectContaining({ line: 8, key: 'train.epohcs', reason: 'unknown key' }),
        expect.objectContaining({ line: 9, key: 'lora.rank' }),
      ]),
    );
    expect(() => parseConfig(text, 'run.yaml')).toThrow(/run\.yaml:8: train\.epohcs: unknown key/);
  });

  test('names a missing section and broken syntax', () => {
    expect(problemsOf('model: m\n')).toEqual([
      expect.objectContaining({ key: 'data', line: null }),
    ]);
    expect(problemsOf('model: m\nmodel: n\ndata: {train: t}\n')).toEqual([
      expect.objectContaining({ line: 2 }),
    ]);
    expect(problemsOf('')).toHaveLength(2);
    expect(problemsOf('just words')).not.toHaveLength(0);
  });

  test('that is missing has a code', async () => {
    await expect(loadConfig(join(folder, 'none.yaml'))).rejects.toMatchObject({
      code: 'file_not_found',
    });
  });
});

describe('the documented configuration', () => {
  test('is valid, says the defaults, and names every key', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const text = /```yaml\n([^]*?)```/.exec(readme)?.[1] ?? '';
    const documented = parseConfig(text, 'README.md');
    const defaults = parseConfig(`model: ${documented.model}\ndata: { train: rows.jsonl }`, 'x');
    expect(documented).toEqual(defaults);
    const keys = (value: object): string[] =>
      Object.entries(value).flatMap(([key, entry]: [string, unknown]) =>
        typeof entry === 'object' && entry !== null && !Array.isArray(entry) ? keys(entry) : [key],
      );
    for (const key of keys({ ...defaults, dpo: {} })) expect(text).toContain(`${key}:`);
  });
});

describe('a resolved configuration', () => {
  test('names its inputs by hash and decides auto', async () => {
    const resolved = await resolveConfig(parseConfig(minimal, 'run.yaml'), folder);
    expect(resolved.data.train.path).toBe(join(folder, 'rows.jsonl'));
    expect(resolved.model.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(resolved.runtime.device).toBe('cpu');
    expect(resolved.runtime.threads).toBeGreaterThan(0);
  });

  test('has an identity that follows what decides the numbers', async () => {
    const identity = async (more: string) =>
      runIdentity(await resolveConfig(parseConfig(minimal + more, 'run.yaml'), folder));
    const base = await identity('');
    expect(await identity('checkpoint: { every_steps: 7 }')).toBe(base);
    expect(await identity('train: { seed: 7 }')).not.toBe(base);
    writeFileSync(join(folder, 'rows.jsonl'), 'other rows');
    expect(await identity('')).not.toBe(base);
  });

  test('is refused for what this version cannot do', async () => {
    for (const more of ['method: full\nruntime: { precision: int8 }']) {
      const config = parseConfig(`${minimal}${more}\n`, 'run.yaml');
      await expect(resolveConfig(config, folder)).rejects.toMatchObject({
        code: 'unsupported_parameter',
      });
    }
  });

  test('is refused when an input is missing', async () => {
    const config = parseConfig('model: nowhere\ndata: { train: rows.jsonl }', 'run.yaml');
    await expect(resolveConfig(config, folder)).rejects.toMatchObject({ code: 'file_not_found' });
  });

  test('reads memory limits', () => {
    expect(resolveMemoryLimit('1.5GiB')).toBe(1.5 * 2 ** 30);
    expect(resolveMemoryLimit('2 GB')).toBe(2e9);
    expect(resolveMemoryLimit(123)).toBe(123);
    expect(resolveMemoryLimit('auto')).toBeGreaterThan(2 ** 28);
  });
});

describe('the precision of a frozen base', () => {
  const runtime = (precision: 'auto' | 'int8', device: 'auto' | 'webgpu' = 'auto') => ({
    ...parseConfig(minimal, 'run.yaml').runtime,
    precision,
    device,
  });
  const exact = (is: boolean) => () => Promise.resolve(is);

  test('is int8 by itself where curves show that it costs nothing and the processor can', async () => {
    const lora = { method: 'lora', runtime: runtime('auto') } as const;
    expect(await resolvePrecision(lora, exact(true))).toBe('int8');
    expect(await resolvePrecision(lora, exact(false))).toBe('float32');
    expect(await resolvePrecision({ ...lora, method: 'dpo' }, exact(true))).toBe('float32');
    const elsewhere = { method: 'lora', runtime: runtime('auto', 'webgpu') } as const;
    expect(await resolvePrecision(elsewhere, exact(true))).toBe('float32');
  });

  test('is refused where the processor would compute something else', async () => {
    const asked = resolvePrecision({ method: 'lora', runtime: runtime('int8') }, exact(false));
    await expect(asked).rejects.toMatchObject({ code: 'unsupported_parameter' });
  });
});
