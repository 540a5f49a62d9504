import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
