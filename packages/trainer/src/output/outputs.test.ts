import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunEvent, goldenSchema, runConfigSchema } from '@corral/contracts';
import { openFileSource, permuteQk, readGguf, readSafetensors } from '@corral/formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveConfig, runIdentity } from '../config/resolve-config.ts';
import type { Parameter } from '../models/causal-lm.ts';
import { fakeModelConfig } from '../recipes/causal-lm.fake.ts';
import { checkDisk } from '../recipes/resources.ts';
import { runToy, writeToyInputs } from '../recipes/toy-run.fake.ts';
import { appendEvent, readEvents, rewindEvents } from './event-log.ts';
import { topLogprobs } from './golden.ts';
import { drawLossCurve } from './loss-curve.ts';
import { saveAdapter } from './peft-adapter.ts';
import { keepPrecision, settleConfig } from './resolved-file.ts';
import { lockOutput } from './run-lock.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-output-'));
  writeToyInputs(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const resolved = () =>
  resolveConfig(
    runConfigSchema.parse({ model: 'model', data: { train: 'rows.jsonl' }, lora: { rank: 2 } }),
    folder,
  );

const matrix = (name: string, rows: number, columns: number): Parameter => ({
  name: `base_model.model.model.layers.0.${name}.weight`,
  shape: [rows, columns],
  data: Float32Array.from({ length: rows * columns }, (_, index) => index),
  grad: new Float32Array(rows * columns),
});

describe('an adapter', () => {
  test('has the same numbers in both forms, with q rows in the order of GGUF', async () => {
    const a = matrix('self_attn.q_proj.lora_A', 2, 8);
    const b = matrix('self_attn.q_proj.lora_B', 8, 2);
    const down = matrix('mlp.down_proj.lora_B', 8, 2);
    const modelConfig = { ...fakeModelConfig(264), hidden_size: 8, head_dim: 4 };
    const output = mkdtempSync(join(folder, 'adapter-'));
    await saveAdapter(output, {
      parameters: [a, b, down],
      modelConfig,
      config: await resolved(),
    });
    await using source = await openFileSource(join(output, 'adapter_model.safetensors'));
    const peft = await readSafetensors(source);
    expect([...peft.tensors.keys()].toSorted()).toEqual([down.name, a.name, b.name]);
    expect(await peft.readFloats(b.name)).toEqual(b.data);
    const config = JSON.parse(readFileSync(join(output, 'adapter_config.json'), 'utf8')) as object;
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 32,
      target_modules: ['down_proj', 'q_proj'],
    });
    await using ggufSource = await openFileSource(join(output, 'adapter.gguf'));
    const adapter = await readGguf(ggufSource);
    expect(adapter.metadata.get('general.type')).toEqual({ type: 'string', value: 'adapter' });
    expect(adapter.metadata.get('adapter.type')).toEqual({ type: 'string', value: 'lora' });
    expect(adapter.metadata.get('adapter.lora.alpha')).toEqual({ type: 'float32', value: 32 });
    expect(await adapter.readFloats('blk.0.attn_q.weight.lora_a')).toEqual(a.data);
    expect(await adapter.readFloats('blk.0.attn_q.weight.lora_b')).toEqual(
      permuteQk(b.data, 8, modelConfig.num_attention_heads),
    );
    expect(await adapter.readFloats('blk.0.ffn_down.weight.lora_b')).toEqual(down.data);
  });
});

describe('the folder of a finished run', () => {
  test('holds transcripts, record, card and curve', async () => {
    const output = join(folder, 'finished');
    await runToy({ folder, output });
    const read = (name: string): string => readFileSync(join(output, name), 'utf8');
    const golden = goldenSchema.parse(JSON.parse(read('golden.json')));
    expect(golden.transcripts.length).toBeGreaterThanOrEqual(6);
    for (const { greedy_tokens, top_logprobs } of golden.transcripts) {
      expect(top_logprobs).toHaveLength(greedy_tokens.length);
      top_logprobs.forEach((top, index) => {
        expect(top).toHaveLength(64);
        expect(top[0]?.[0]).toBe(greedy_tokens[index]);
      });
    }
    const record = JSON.parse(read('run.json')) as { files: object; figures: object };
    expect(Object.keys(record.files)).toEqual(
      expect.arrayContaining(['adapter.gguf', 'adapter_model.safetensors', 'golden.json']),
    );
    expect(record.figures).toMatchObject({ step: 12 });
    expect(read('README.md')).toContain('![Loss by step](loss.svg)');
    expect(read('loss.svg')).toMatch(/^<svg /);
  });
});

describe('log-probabilities', () => {
  test('are the largest, in order, and sum to one over the whole vocabulary', () => {
    const logits = Float32Array.from({ length: 100 }, (_, index) => Math.sin(index * 7.3) * 4);
    const all = topLogprobs(logits, 100);
    expect(all.reduce((sum, [, logprob]) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 5);
    expect(all.map(([, logprob]) => logprob)).toEqual(
      all.map(([, logprob]) => logprob).toSorted((a, b) => b - a),
    );
    expect(topLogprobs(logits, 7)).toEqual(all.slice(0, 7));
  });
});

describe('the event log', () => {
  test('forgets what the checkpoint does not know, and half a line', async () => {
    const output = mkdtempSync(join(folder, 'log-'));
    const step = (value: number): RunEvent => ({
      type: 'validation',
      step: value,
      loss: 1,
      token_accuracy: 0,
    });
    for (const value of [1, 2, 3]) appendEvent(output, step(value));
    appendEvent(output, { type: 'warning', message: 'kept' });
    await rewindEvents(output, 2);
    appendFileSync(join(output, 'events.jsonl'), '{"type":"st');
    await rewindEvents(output, 2);
    appendEvent(output, step(4));
    expect(await readEvents(output)).toEqual([
      step(1),
      step(2),
      { type: 'warning', message: 'kept' },
      step(4),
    ]);
  });

  test('becomes a curve', () => {
    const events: RunEvent[] = Array.from({ length: 1000 }, (_, step) => ({
      type: 'validation',
      step,
      loss: 1 / (step + 1),
      token_accuracy: 0,
    }));
    expect(drawLossCurve(events)).toBeNull();
  });
});

describe('an output folder', () => {
  test('is locked against a second run, not by one that is gone', async () => {
    const output = join(folder, 'locked');
    const lock = await lockOutput(output);
    await expect(lockOutput(output, { waitMs: 0 })).rejects.toMatchObject({ code: 'conflict' });
    lock.close();
    lock.close();
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('close', resolve));
    writeFileSync(join(output, '.lock'), JSON.stringify({ pid: child.pid, start: '1' }));
    (await lockOutput(output, { waitMs: 0 })).close();
    writeFileSync(join(output, '.lock'), JSON.stringify({ pid: process.pid, start: 'long ago' }));
    (await lockOutput(output, { waitMs: 0 })).close();
  });

  test('is cleared of what a killed writer left aside', async () => {
    const output = mkdtempSync(join(folder, 'partial-'));
    mkdirSync(join(output, 'checkpoints'));
    const left = join(output, 'checkpoints', 'step-00000001.safetensors.partial-77');
    writeFileSync(left, 'half');
    await runToy({ folder, output });
    expect(existsSync(left)).toBe(false);
  });

  test('too small for the run is refused before it starts', async () => {
    const config = await resolved();
    const huge = { data: { byteLength: 2 ** 60 } };
    await expect(checkDisk({ config, output: folder }, [huge], 'adapter')).rejects.toMatchObject({
      code: 'disk_too_small',
    });
    await checkDisk({ config, output: folder }, [], 'adapter');
  });

  test('is not begun when the run does not fit the memory limit', async () => {
    const config = { runtime: { memory_limit: 1_000_000 } };
    await expect(runToy({ folder, output: join(folder, 'tight'), config })).rejects.toMatchObject({
      code: 'memory_too_small',
    });
  });

  test('keeps the precision it began with, where that is what differs', async () => {
    const output = mkdtempSync(join(folder, 'precision-'));
    const config = await resolved();
    const began = { ...config, runtime: { ...config.runtime, precision: 'int8' as const } };
    const options = { threadsAreAuto: true, warn: () => undefined };
    await settleConfig(output, { identity: runIdentity(began), config: began }, options);
    const float32 = { ...config, runtime: { ...config.runtime, precision: 'float32' as const } };
    expect((await keepPrecision(output, float32)).runtime.precision).toBe('int8');
    const other = { ...float32, train: { ...float32.train, seed: 7 } };
    expect(await keepPrecision(output, other)).toEqual(other);
  });

  test('keeps the number of threads it began with', async () => {
    const output = mkdtempSync(join(folder, 'threads-'));
    const config = await resolved();
    const withThreads = (threads: number) => ({
      identity: 'i',
      config: { ...config, runtime: { ...config.runtime, threads } },
    });
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    await settleConfig(output, withThreads(3), { threadsAreAuto: true, warn });
    const auto = await settleConfig(output, withThreads(8), { threadsAreAuto: true, warn });
    expect(auto.runtime.threads).toBe(3);
    expect(warnings).toEqual([]);
    const chosen = await settleConfig(output, withThreads(8), { threadsAreAuto: false, warn });
    expect(chosen.runtime.threads).toBe(8);
    expect(warnings).toHaveLength(1);
  });
});
