// The library: events as an async iterator, pause by signal and by leaving the loop, full training from
// scratch with files that can be read back.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfigInput, RunEvent } from '@corral/contracts';
import { openModelWeights } from '@corral/formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { train } from './index.ts';
import { writeToyInputs } from './recipes/toy-run.fake.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-train-'));
  writeToyInputs(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const configOf = (more: Partial<RunConfigInput> = {}): RunConfigInput => ({
  model: 'model',
  data: { train: 'rows.jsonl', validation: 0.2, context_length: 64 },
  lora: { rank: 4 },
  train: { epochs: 8, batch_size: 6, learning_rate: 0.01 },
  runtime: { threads: 1 },
  ...more,
});

const stepsOf = (events: readonly RunEvent[]) => events.filter((event) => event.type === 'step');

describe('training as a library', () => {
  test('yields typed events to the end and leaves an adapter', async () => {
    const output = join(folder, 'lora');
    const events: RunEvent[] = [];
    for await (const event of train(configOf(), { output, folder })) events.push(event);
    const losses = stepsOf(events).map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
    expect(events.at(-1)).toMatchObject({ type: 'finished', step: losses.length });
    expect(existsSync(join(output, 'adapter.gguf'))).toBe(true);
  });

  test('pauses when the loop is left, and goes on', async () => {
    const output = join(folder, 'left');
    for await (const event of train(configOf(), { output, folder })) {
      if (event.type === 'step' && event.step === 3) break;
    }
    expect(existsSync(join(output, 'run.json'))).toBe(false);
    const events: RunEvent[] = [];
    for await (const event of train(configOf(), { output, folder })) events.push(event);
    const started = events.find((event) => event.type === 'started');
    expect(started?.resumed_from_step).toBeGreaterThanOrEqual(3);
    expect(events.at(-1)?.type).toBe('finished');
  });

  test('pauses when the signal is aborted', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const events: RunEvent[] = [];
    const output = join(folder, 'aborted');
    for await (const event of train(configOf(), { output, folder, signal })) {
      events.push(event);
      if (event.type === 'step' && event.step === 2) controller.abort();
    }
    expect(events.at(-1)?.type).toBe('paused');
  });

  test('throws what stops it', async () => {
    const config = configOf({ data: { train: 'rows.jsonl', format: 'preference' } });
    const events: RunEvent[] = [];
    const run = async (): Promise<void> => {
      for await (const event of train(config, { output: join(folder, 'none'), folder })) {
        events.push(event);
      }
    };
    await expect(run()).rejects.toMatchObject({ code: 'unsupported_parameter' });
    expect(events).toMatchObject([{ type: 'failed' }]);
  });

  test('prefers the better of two answers', async () => {
    const config = configOf({
      method: 'dpo',
      dpo: { beta: 0.5 },
      train: { epochs: 8, batch_size: 6, learning_rate: 0.003 },
      data: { train: 'pairs.jsonl', validation: 0.2, context_length: 64 },
    });
    const outputs = ['dpo', 'dpo again'].map((name) => join(folder, name));
    for (const output of outputs) {
      const events: RunEvent[] = [];
      for await (const event of train(config, { output, folder })) events.push(event);
      const [first, ...steps] = stepsOf(events);
      expect(first?.loss).toBeCloseTo(Math.LN2, 5);
      expect(steps.at(-1)?.loss).toBeLessThan(0.55);
      expect(steps.at(-1)?.reward_accuracy).toBeGreaterThan(0.9);
      expect(events.at(-1)?.type).toBe('finished');
    }
    const [one, other] = outputs.map((output) =>
      readFileSync(join(output, 'adapter_model.safetensors')),
    );
    expect(one && other?.equals(one)).toBe(true);
  });

  test('from scratch leaves a model that is read back, in every form', async () => {
    const output = join(folder, 'full');
    const config = configOf({ method: 'full' });
    const events: RunEvent[] = [];
    for await (const event of train(config, { output, folder })) events.push(event);
    const losses = stepsOf(events).map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) / 2);
    const again = join(folder, 'full again');
    for await (const _event of train(config, { output: again, folder }));
    const [one, other] = [output, again].map((path) =>
      readFileSync(join(path, 'model.safetensors')),
    );
    expect(one && other?.equals(one)).toBe(true);
    await using trained = await openModelWeights(output);
    const name = 'model.layers.1.self_attn.q_proj.weight';
    const exact = await trained.readFloats(name);
    for (const [file, tolerance] of Object.entries({
      'model-f16.gguf': 1e-3,
      'model-q8_0.gguf': 1e-2,
    })) {
      await using written = await openModelWeights(join(output, file));
      expect(written.config).toMatchObject({ hidden_size: 32, num_hidden_layers: 2 });
      expect(written.tokenizer.tokenizerConfig['eos_token']).toBe('<|im_end|>');
      const values = await written.readFloats(name);
      const worst = Math.max(
        ...values.map((value, index) => Math.abs(value - (exact[index] ?? 0))),
      );
      expect(worst).toBeLessThan(tolerance);
    }
  });
});
