// Whole runs on a frozen base that is kept in few bits or multiplied in 8: the same configuration gives the
// same bytes, undisturbed or paused and resumed, and what is handed out is whole.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfigInput, RunEvent } from '@corral/contracts';
import { runConfigSchema } from '@corral/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCausalLm } from '../models/open-causal-lm.ts';
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
