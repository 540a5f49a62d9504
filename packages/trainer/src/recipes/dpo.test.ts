import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfigInput, RunEvent } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ToyRunOptions, runToy, writeToyInputs } from './toy-run.fake.ts';

let folder = '';
let adapter: Buffer = Buffer.alloc(0);
let undisturbed: RunEvent[] = [];
let runs = 0;
const newOutput = (): string => join(folder, `out-${(runs += 1)}`);
const adapterOf = (output: string): Buffer =>
  readFileSync(join(output, 'adapter_model.safetensors'));

const dataConfig = { train: 'pairs.jsonl', validation: 0.2, context_length: 64 };
const trainPairs = (
  output: string,
  config: Partial<RunConfigInput> = {},
  more: Partial<ToyRunOptions> = {},
) => runToy({ ...more, folder, output, config: { method: 'dpo', data: dataConfig, ...config } });
const stepsOf = (events: readonly RunEvent[]) => events.filter((event) => event.type === 'step');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'corral-dpo-'));
  writeToyInputs(folder);
  const output = newOutput();
  ({ events: undisturbed } = await trainPairs(output));
  adapter = adapterOf(output);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('direct preference optimisation', () => {
  test('counts pairs, and comes to prefer the better answers', () => {
    const started = undisturbed.find((event) => event.type === 'started');
    expect((started?.examples ?? 0) + (started?.validation_examples ?? 0)).toBe(24);
    const validations = undisturbed.filter((event) => event.type === 'validation');
    expect(validations[0]).toMatchObject({ step: 0, reward_accuracy: 0, reward_margin: 0 });
    expect(validations[0]?.loss).toBeCloseTo(Math.LN2, 6);
    const steps = stepsOf(undisturbed);
    expect(steps[0]?.loss).toBeCloseTo(Math.LN2, 6);
    expect(steps.at(-1)?.loss).toBeLessThan(Math.LN2 - 0.02);
    expect(steps.at(-1)?.reward_accuracy).toBeGreaterThan(0.8);
    expect(steps.at(-1)?.reward_margin).toBeGreaterThan(0);
  });

  test('gives the same losses packed or not, and however a step is cut into micro batches', async () => {
    const variants: Partial<RunConfigInput>[] = [
      { data: { ...dataConfig, packing: false } },
      { train: { epochs: 3, batch_size: 6, gradient_accumulation: 1, learning_rate: 0.05 } },
    ];
    for (const config of variants) {
      const { events } = await trainPairs(newOutput(), config);
      stepsOf(undisturbed).forEach(({ loss }, index) => {
        expect(stepsOf(events)[index]?.loss).toBeCloseTo(loss, 5);
      });
    }
  });

  test('gives the same bytes twice', async () => {
    const output = newOutput();
    await trainPairs(output);
    expect(adapterOf(output).equals(adapter)).toBe(true);
  });

  test('paused or killed anywhere and resumed gives the bytes of an undisturbed run', async () => {
    const output = newOutput();
    const reference = join(output, 'checkpoints', 'reference.safetensors');
    const inReference = (event: RunEvent): boolean =>
      event.type === 'phase' && event.name.startsWith('reference');
    const paused = await trainPairs(output, {}, { pauseAt: inReference });
    expect(paused.events.at(-1)).toMatchObject({ type: 'paused', step: 0 });
    await expect(trainPairs(output, {}, { crashAtBatch: 7 })).rejects.toThrow('crash');
    const { ino } = statSync(reference);
    const { events } = await trainPairs(output);
    expect(events.some(inReference)).toBe(false);
    expect(statSync(reference).ino).toBe(ino);
    expect(adapterOf(output).equals(adapter)).toBe(true);
  });

  test('computes a damaged reference again', async () => {
    const output = newOutput();
    await expect(trainPairs(output, {}, { crashAtBatch: 7 })).rejects.toThrow('crash');
    const reference = join(output, 'checkpoints', 'reference.safetensors');
    const bytes = readFileSync(reference);
    bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
    writeFileSync(reference, bytes);
    await trainPairs(output);
    expect(adapterOf(output).equals(adapter)).toBe(true);
  });

  test('takes pairs only, and pairs are for it only', async () => {
    const rows = { ...dataConfig, train: 'rows.jsonl' };
    await expect(trainPairs(newOutput(), { data: rows })).rejects.toMatchObject({
      code: 'data_invalid',
    });
    const lora = { method: 'lora' as const };
    await expect(trainPairs(newOutput(), lora)).rejects.toMatchObject({ code: 'data_invalid' });
  });
});
