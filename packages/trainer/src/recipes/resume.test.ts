import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '@corral/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runToy, writeToyInputs } from './toy-run.fake.ts';

let folder = '';
let adapter: Buffer = Buffer.alloc(0);
let undisturbed: RunEvent[] = [];
let runs = 0;
const newOutput = (): string => join(folder, `out-${(runs += 1)}`);
const adapterOf = (output: string): Buffer =>
  readFileSync(join(output, 'adapter_model.safetensors'));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'corral-resume-'));
  writeToyInputs(folder);
  const output = newOutput();
  ({ events: undisturbed } = await runToy({ folder, output }));
  adapter = adapterOf(output);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const lossesIn = (output: string): [number, number][] =>
  readFileSync(join(output, 'events.jsonl'), 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as RunEvent]))
    .flatMap((event) => (event.type === 'step' ? [[event.step, event.loss]] : []));
const undisturbedLosses = (): [number, number][] =>
  undisturbed.flatMap((event) => (event.type === 'step' ? [[event.step, event.loss]] : []));

describe('a run', () => {
  test('learns, and says so', () => {
    const losses = undisturbedLosses().map(([, loss]) => loss);
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) - 0.2);
    expect(undisturbed.at(-1)).toMatchObject({ type: 'finished', step: losses.length });
    expect(undisturbed[0]?.type).toBe('phase');
    expect(undisturbed.some((event) => event.type === 'checkpoint')).toBe(true);
  });

  test('gives the same bytes twice', async () => {
    const output = newOutput();
    await runToy({ folder, output });
    expect(adapterOf(output).equals(adapter)).toBe(true);
  });

  test('goes on in the precision it began with, where the machine may choose', async () => {
    const output = newOutput();
    const config = { runtime: { precision: 'float32' as const } };
    await runToy({ folder, output, config, pauseAt: ({ type }) => type === 'checkpoint' });
    expect((await runToy({ folder, output })).outcome).toBe('finished');
  });

  test('gives the same losses packed and not', async () => {
    const output = newOutput();
    const data = { train: 'rows.jsonl', validation: 0.2, context_length: 64, packing: false };
    const { events } = await runToy({ folder, output, config: { data } });
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
    undisturbedLosses().forEach(([, loss], index) => {
      expect(losses[index]).toBeCloseTo(loss, 5);
    });
  });

  test('does not depend on how a step is cut into micro batches', async () => {
    const output = newOutput();
    const train = { epochs: 3, batch_size: 6, gradient_accumulation: 1, learning_rate: 0.05 };
    const { events } = await runToy({ folder, output, config: { train } });
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
    undisturbedLosses().forEach(([, loss], index) => {
      expect(losses[index]).toBeCloseTo(loss, 5);
    });
  });

  test('that has finished answers at once', async () => {
    const output = newOutput();
    await runToy({ folder, output });
    const { outcome, events } = await runToy({ folder, output });
    expect(outcome).toBe('finished');
    expect(events.map(({ type }) => type)).toEqual(['finished']);
  });
});

describe('an interrupted run', () => {
  test('paused at any step and resumed gives the bytes of an undisturbed one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }),
        async (steps) => {
          const output = newOutput();
          for (const step of steps) {
            const { outcome, events } = await runToy({
              folder,
              output,
              pauseAt: (event) =>
                (event.type === 'step' || event.type === 'validation') && event.step >= step,
            });
            if (outcome === 'finished') break;
            expect(events.at(-1)?.type).toBe('paused');
          }
          await runToy({ folder, output });
          expect(adapterOf(output).equals(adapter)).toBe(true);
          expect(lossesIn(output)).toEqual(undisturbedLosses());
        },
      ),
      { numRuns: 4 },
    );
  });

  test('crashed in any batch and resumed gives the bytes of an undisturbed one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 14 }), { maxLength: 4 }),
        async (crashes) => {
          const output = newOutput();
          for (const crashAtBatch of crashes) {
            await runToy({ folder, output, crashAtBatch }).catch((error: unknown) => {
              if (!String(error).includes('crash')) throw error;
            });
          }
          await runToy({ folder, output });
          expect(adapterOf(output).equals(adapter)).toBe(true);
        },
      ),
      { numRuns: 4 },
    );
  });

  test('goes on from the checkpoint before a damaged one', async () => {
    const output = newOutput();
    await runToy({ folder, output, pauseAt: (event) => event.type === 'step' && event.step === 5 });
    const checkpoints = join(output, 'checkpoints');
    const newest = readdirSync(checkpoints).toSorted().at(-1) ?? '';
    truncateSync(join(checkpoints, newest), 1000);
    const { events } = await runToy({ folder, output });
    expect(events.find((event) => event.type === 'started')?.resumed_from_step).toBe(4);
    expect(events.find((event) => event.type === 'warning')?.message).toContain(newest);
    expect(adapterOf(output).equals(adapter)).toBe(true);
  });

  test('is not resumed into another configuration', async () => {
    const output = newOutput();
    await runToy({ folder, output, pauseAt: (event) => event.type === 'step' });
    const config = { train: { epochs: 3, learning_rate: 0.01 } };
    await expect(runToy({ folder, output, config })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('keeps only the newest checkpoints', async () => {
    const output = newOutput();
    await runToy({ folder, output, config: { checkpoint: { every_steps: 1, keep: 3 } } });
    expect(readdirSync(join(output, 'checkpoints'))).toHaveLength(3);
  });
});

describe('a run that cannot go on', () => {
  test('leaves nothing started when a row cannot be used', async () => {
    writeFileSync(join(folder, 'bad.jsonl'), '{"messages": []}\n');
    const output = newOutput();
    const data = { train: 'bad.jsonl' };
    await expect(runToy({ folder, output, config: { data } })).rejects.toMatchObject({
      code: 'data_invalid',
    });
    expect(readdirSync(output)).toEqual(['events.jsonl', 'resolved-config.json']);
  });

  test('stops when the numbers are lost, and names step and rows', async () => {
    await expect(runToy({ folder, output: newOutput(), poisonAtBatch: 5 })).rejects.toMatchObject({
      code: 'training_diverged',
      params: {
        step: 3,
        reason: expect.stringContaining('batch 1 of 2') as string,
        rows: expect.stringMatching(/^\d+(, \d+){2}$/) as string,
      },
    });
  });

  test('stops early at the best validation loss', async () => {
    const output = newOutput();
    const train = { epochs: 60, batch_size: 6, learning_rate: 0.3, early_stopping: 2 };
    const { events } = await runToy({ folder, output, config: { train } });
    const validations = events.filter((event) => event.type === 'validation');
    const finished = events.find((event) => event.type === 'finished');
    expect(validations.length).toBeLessThan(60);
    expect(finished?.loss_after).toBe(Math.min(...validations.map(({ loss }) => loss)));
  });
});
