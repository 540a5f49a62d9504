// Whole runs on a frozen base that is kept in few bits or multiplied in 8: the same configuration gives the
// same bytes, undisturbed or paused and resumed, and what is handed out is whole.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfigInput, RunEvent } from '@corral/contracts';
import { runConfigSchema } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveConfig } from '../config/resolve-config.ts';
import { openCausalLm } from '../models/open-causal-lm.ts';
import { estimateRun } from './estimate.ts';
import { loadData } from './load-data.ts';
import type { MemoryChoice } from './run-memory.ts';
import { runTraining } from './run-training.ts';
import { writeToyInputs } from './toy-run.fake.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-frozen-'));
  writeToyInputs(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = async (config: Partial<RunConfigInput>, output: string, pauseAtStep = Infinity) => {
  const pause = new AbortController();
  const events: RunEvent[] = [];
  await runTraining(
    runConfigSchema.parse({
      model: 'model',
      data: { train: 'rows.jsonl', validation: 0.2, context_length: 64 },
      lora: { rank: 4, alpha: 8 },
      train: { max_steps: 4, batch_size: 4, learning_rate: 0.02 },
      ...config,
    }),
    {
      output: join(folder, output),
      folder,
      signal: pause.signal,
      emit: (event) => {
        events.push(event);
        if (event.type === 'step' && event.step >= pauseAtStep) pause.abort();
      },
      openModel: openCausalLm,
    },
  );
  return events;
};

const adapter = (output: string): string =>
  readFileSync(join(folder, output, 'adapter_model.safetensors')).toString('hex');

const runtime = (precision: 'float32' | 'int8') => ({ threads: 1, precision });

test.each([
  ['int8', { runtime: runtime('int8') }],
  ['qlora', { method: 'qlora', runtime: runtime('float32') }],
  ['qlora in int8', { method: 'qlora', runtime: runtime('int8') }],
] satisfies [string, Partial<RunConfigInput>][])(
  '%s: equal configurations give equal adapters, paused or not',
  async (name, config) => {
    const whole = await run(config, `${name} whole`);
    await run(config, `${name} paused`, 2);
    const resumed = await run(config, `${name} paused`);
    expect(resumed).toContainEqual(expect.objectContaining({ resumed_from_step: 2 }));
    expect(adapter(`${name} paused`)).toBe(adapter(`${name} whole`));
    expect(whole.at(-1)).toMatchObject({ type: 'finished', step: 4 });
    expect(readFileSync(join(folder, `${name} whole`, 'golden.json'), 'utf8')).toContain('greedy');
  },
);

test('int8 is refused where no base is frozen', async () => {
  const config: Partial<RunConfigInput> = { method: 'full', runtime: runtime('int8') };
  await expect(run(config, 'full')).rejects.toMatchObject({ code: 'unsupported_parameter' });
});

/** What full training hands out: a folder in float32 and a GGUF in 8 bits. */
let trained = '';
beforeAll(async () => {
  await run({ method: 'full', train: { max_steps: 1 }, runtime: runtime('float32') }, 'trained');
  trained = join(folder, 'trained');
});

describe('a base in 8 bits', () => {
  const pairs = { train: 'pairs.jsonl', validation: 0.2, context_length: 128 };
  const dpo = (memory_limit: number) =>
    ({
      model: quantised(),
      method: 'dpo',
      data: pairs,
      lora: { rank: 2 },
      train: { max_steps: 2, batch_size: 2 },
      runtime: { threads: 1, memory_limit },
    }) satisfies RunConfigInput;
  const quantised = (): string => join(trained, 'model-q8_0.gguf');
  let choices: readonly MemoryChoice[] = [];
  let needs: number[] = [];
  beforeAll(async () => {
    const config = await resolveConfig(runConfigSchema.parse(dpo(1)), folder);
    const output = join(folder, 'estimate');
    const planned = {
      config,
      identity: 'i',
      output,
      signal: new AbortController().signal,
      emit: () => undefined,
      openModel: openCausalLm,
    };
    using data = await loadData(planned);
    const estimate = await estimateRun(planned, data);
    ({ choices } = estimate);
    needs = choices.map((choice) => estimate.peakBytes(choice));
  });

  test('stays packed under dpo only where float32 does not fit', async () => {
    expect(choices.map(({ packedBase }) => packedBase)).toEqual([false, false, true, true]);
    const roomy = await run(dpo(2 * (needs[0] ?? 0)), 'dpo roomy');
    expect(roomy.filter(({ type }) => type === 'warning')).toEqual([]);
    const packedNeed = Math.min(...needs.slice(2));
    expect(packedNeed).toBeLessThan(Math.min(...needs.slice(0, 2)));
    const tight = await run(dpo(packedNeed), 'dpo tight');
    expect(tight).toContainEqual({
      type: 'warning',
      message: expect.stringContaining('the base stays in 4 or 8 bits') as unknown,
    });
    expect(tight.at(-1)).toMatchObject({ type: 'finished', step: 2 });
  });
});

test('a base in 16 or 32 bits is rounded under qlora, and that is said', async () => {
  const qlora: Partial<RunConfigInput> = { method: 'qlora', runtime: runtime('float32') };
  const events = await run({ ...qlora, model: trained, train: { max_steps: 1 } }, 'rounded');
  expect(events).toContainEqual({
    type: 'warning',
    message: expect.stringMatching(/16 or 32 bits.*kept in 8 bits/) as unknown,
  });
});
