import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorralError, type RunEvent } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modelSizes } from '../models/sizes.ts';
import type { Work } from './count-work.ts';
import { memoryAdvice } from './memory-advice.ts';
import { checkDisk } from './resources.ts';
import { peakBytes } from './run-memory.ts';
import { runToy, writeToyInputs } from './toy-run.fake.ts';

let folder = '';
/** Bytes below which nothing fits. */
let least = 0;

/** One sitting under a memory limit that ends after a step; whether it recomputes, and its warnings. */
async function sit(output: string, memory_limit: number | 'auto') {
  let recompute: boolean | undefined;
  const { events } = await runToy({
    folder,
    output,
    config: { runtime: { memory_limit } },
    pauseAt: ({ type }) => type === 'step',
    onOpen: (options) => (recompute = options.recompute),
  });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  return { recompute, warnings: warnings.join('\n') };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'corral-memory-'));
  writeToyInputs(folder);
  const refused: unknown = await sit(join(folder, 'refused'), 1_000_000).catch(
    (error: unknown) => error,
  );
  if (!CorralError.isInstance(refused)) throw new Error('a megabyte was enough');
  least = Number(refused.details?.['needed_bytes']);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('a run that goes on under another memory limit', () => {
  test('keeps to what it began with where that fits', async () => {
    const output = join(folder, 'grown');
    expect(await sit(output, least)).toMatchObject({ recompute: true });
    const later = await sit(output, 'auto');
    expect(later.recompute).toBe(true);
    expect(later.warnings).not.toContain('last digits');
  });

  test('does without more where it must, and says what that means', async () => {
    const output = join(folder, 'shrunk');
    expect(await sit(output, 'auto')).toEqual({ recompute: false, warnings: '' });
    const later = await sit(output, least);
    expect(later.recompute).toBe(true);
    expect(later.warnings).toContain('last digits may differ');
    expect(await sit(output, 'auto')).toEqual({ recompute: false, warnings: '' });
  });
});

describe('a run that does not fit', () => {
  test('is told with both numbers and what would need less, before the first step', async () => {
    const events: RunEvent[] = [];
    const error: unknown = await runToy({
      folder,
      output: join(folder, 'too-large'),
      config: { runtime: { memory_limit: least - 1 } },
      pauseAt: (event) => {
        events.push(event);
        return false;
      },
    }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'memory_too_small',
      details: { needed_bytes: least, limit_bytes: least - 1 },
    });
    expect(events.map(({ type }) => type)).not.toContain('started');
    const warning = events.find(({ type }) => type === 'warning');
    expect(warning).toMatchObject({
      message: expect.stringMatching(/lora\.rank: 8.*less/) as unknown,
    });
  });

  test('gives a disk that holds fewer checkpoints the option that saves most', async () => {
    const config = { checkpoint: { keep: 7 } };
    const parameters = [{ data: { byteLength: 2 ** 56 } }];
    const output = join(folder, 'no-disk');
    const run = { output, config: { ...config, train: { early_stopping: null } } };
    await expect(
      checkDisk(run as unknown as Parameters<typeof checkDisk>[0], parameters, 'adapter'),
    ).rejects.toThrow(/8 checkpoints of \d+ MiB \(checkpoint\.keep: 7\)/);
  });
});

describe('advice', () => {
  const shape = modelSizes['smollm2-135m'];
  const rows = { rows: 1, steps: 1024, lookback: 1024, scored: 512 };
  const work: Work = {
    positions: 1024,
    scored: 512,
    tokens: 1024,
    validationPositions: 0,
    validationScored: 0,
    golden: [],
    shapes: [{ ...rows, positions: 1024, evaluated: false, sample: null }],
    batchPositions: 1024,
  };
  const question = (method: 'lora' | 'full' | 'dpo') => ({
    shape,
    storedAs: () => 'Q8_0',
    config: {
      method,
      lora: { rank: 64, alpha: 32, dropout: 0, target_modules: 'all-linear' as const },
      runtime: { precision: 'float32' as const },
    } as unknown as Parameters<typeof memoryAdvice>[0]['config'],
    choice: { recompute: true, packedBase: false },
  });
  const changes = (method: 'lora' | 'full' | 'dpo'): string[] =>
    memoryAdvice(question(method), work).map(({ change }) => change);

  test('names what the method allows, the smallest need first', () => {
    expect(changes('lora').toSorted()).toEqual([
      'data.context_length: 512',
      'lora.rank: 8',
      'method: qlora',
    ]);
    expect(changes('full')[0]).toBe('method: lora');
    const needs = memoryAdvice(question('lora'), work).map(({ bytes }) => bytes);
    expect(needs).toEqual(needs.toSorted((a, b) => a - b));
  });

  test('says what the run would then need', () => {
    const needed = peakBytes(question('lora'), work);
    for (const { bytes } of memoryAdvice(question('lora'), work)) {
      expect(bytes).toBeLessThan(needed);
      expect(bytes).toBeGreaterThan(0);
    }
  });
});
