// Generation by the real engine child on tiny random models: batches, adapters, sampling, stop, cancel.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineStatus, ScoreResult } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let engine: TestEngine;
const adapters = ['a', 'b', 'c'];

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('model.gguf'));
  engine = await startEngine(folder.path('model.gguf'));
  for (const [i, id] of adapters.entries()) {
    await writeTinyAdapter(folder.path(`${id}.gguf`), { seed: 100 + i });
    await engine.call({ type: 'load_adapter', adapter_id: id, path: folder.path(`${id}.gguf`) });
  }
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const prompts = ['hello world', 'the', 'one two three four five six seven', '12345', 'Z', '???'];

describe('a batch', () => {
  it('gives every stream the tokens it gets alone', async () => {
    const alone = [];
    for (const prompt of prompts) alone.push((await engine.generate(prompt)).tokens);
    const together = await Promise.all(prompts.map((prompt) => engine.generate(prompt)));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
    expect(new Set(alone.map(String)).size).toBe(prompts.length);
  });

  it('serves more requests than it has sequences', async () => {
    const many = Array.from({ length: 20 }, (_, i) => `request number ${i}`);
    const results = await Promise.all(many.map((prompt) => engine.generate(prompt)));
    expect(results.every(({ finish }) => finish?.completion_tokens === 24)).toBe(true);
  });

  it('prefills a long prompt in parts beside running streams, with the same outcome', async () => {
    const long = 'abcdefgh '.repeat(20);
    const alone = await engine.generate(long);
    const short = engine.generate('the', { max_tokens: 60 });
    const [late, running] = await Promise.all([engine.generate(long), short]);
    expect(late.tokens).toEqual(alone.tokens);
    expect(running.finish?.completion_tokens).toBe(60);
    // 180 tokens do not fit the batch of 128.
    expect(alone.finish?.prompt_tokens).toBeGreaterThan(128);
  });
});

describe('adapters', () => {
  it('switched inside a step give every stream what it gets alone', async () => {
    const jobs = [null, ...adapters].flatMap((adapter_id) =>
      ['hello', 'the world'].map((prompt) => ({ prompt, adapter_id })),
    );
    const alone = [];
    for (const { prompt, adapter_id } of jobs)
      alone.push((await engine.generate(prompt, { adapter_id })).tokens);
    const together = await Promise.all(
      jobs.map(({ prompt, adapter_id }) => engine.generate(prompt, { adapter_id })),
    );
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
    expect(new Set(alone.map(String)).size).toBe(jobs.length);
  });

  it('load and unload while streams run, without a trace in them', async () => {
    const alone = await engine.generate('hello', { max_tokens: 100 });
    const running = engine.generate('hello', { max_tokens: 100 });
    const path = folder.path('a.gguf');
    await engine.call({ type: 'load_adapter', adapter_id: 'extra', path });
    const extra = await engine.generate('hello', { adapter_id: 'extra' });
    await engine.call({ type: 'unload_adapter', adapter_id: 'extra' });
    expect((await running).tokens).toEqual(alone.tokens);
    expect(extra.tokens).toEqual((await engine.generate('hello', { adapter_id: 'a' })).tokens);
    await expect(engine.generate('hello', { adapter_id: 'extra' })).rejects.toThrow(/no adapter/);
  });

  it('give their memory back', async () => {
    // About 0.5 MB each: 40 of them would show, in every round. Garbage that waits to be collected comes
    // and goes, and so shows in some.
    await writeTinyAdapter(folder.path('large.gguf'), { seed: 5, rank: 64 });
    const cycle = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) {
        const path = folder.path('large.gguf');
        await engine.call({ type: 'load_adapter', adapter_id: 'large', path });
        await engine.generate('hello', { adapter_id: 'large', max_tokens: 2 });
        await engine.call({ type: 'unload_adapter', adapter_id: 'large' });
      }
      const status = (await engine.call({ type: 'status' })) as EngineStatus;
      return status.memory_bytes;
    };
    const sizes = [await cycle(10)];
    for (let round = 0; round < 4; round++) sizes.push(await cycle(40));
    const growths = sizes.slice(1).map((size, i) => size - (sizes[i] ?? 0));
    expect(Math.min(...growths)).toBeLessThan(10e6);
  });
});

describe('sampling', () => {
  const draw = (seed: number | undefined, changes = {}) =>
    engine.generate('hello', {
      sampling: { temperature: 1.5, ...(seed === undefined ? {} : { seed }), ...changes },
    });

  it('repeats itself for a seed, alone and in company, and differs between seeds', async () => {
    const first = await draw(7);
    const [again, other] = await Promise.all([draw(7), draw(8)]);
    expect(again.tokens).toEqual(first.tokens);
    expect(other.tokens).not.toEqual(first.tokens);
  });

  it('differs from itself without a seed', async () => {
    const [a, b] = await Promise.all([draw(undefined), draw(undefined)]);
    expect(a.tokens).not.toEqual(b.tokens);
  });

  it('with top_k 1 is greedy', async () => {
    const greedy = await engine.generate('hello');
    expect((await draw(3, { top_k: 1 })).tokens).toEqual(greedy.tokens);
    expect((await draw(3, { top_p: 1e-6 })).tokens).toEqual(greedy.tokens);
    expect((await draw(3, { min_p: 1 })).tokens).toEqual(greedy.tokens);
  });

  it('penalises what was said', async () => {
    const sampling = { temperature: 0, presence_penalty: 2, frequency_penalty: 2 };
    const penalty = { ...sampling, repetition_penalty: 10 };
    const free = await engine.generate('hello', { max_tokens: 100 });
    const varied = await engine.generate('hello', { max_tokens: 100, sampling: penalty });
    expect(new Set(varied.tokens).size).toBeGreaterThan(new Set(free.tokens).size);
  });
});

describe('log-probabilities', () => {
  it('of the whole vocabulary sum to one, and the best is the greedy token', async () => {
    const { logprobs, tokens } = await engine.generate('hello', { top_logprobs: 64 });
    expect(logprobs).toHaveLength(tokens.length);
    for (const [i, { token, logprob, top }] of logprobs.entries()) {
      expect(token).toBe(tokens[i]);
      expect(top[0]).toMatchObject({ token, logprob });
      const mass = top.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0);
      expect(mass).toBeGreaterThan(0.9);
      expect(mass).toBeLessThanOrEqual(1 + 1e-6);
    }
  });

  it('are reported by teacher forcing for the same tokens, with and without an adapter', async () => {
    for (const adapter_id of [null, 'b']) {
      const drawn = await engine.generate('hello', {
        adapter_id,
        max_tokens: 100,
        top_logprobs: 5,
      });
      const score = (await engine.call({
        type: 'score',
        adapter_id,
        prompt: { kind: 'text', text: 'hello' },
        forced_tokens: drawn.tokens,
        top_logprobs: 5,
        // The most likely token is not the drawn one where that is the end of a turn, which was forbidden.
        wanted: drawn.logprobs.map(({ token, top }) => [token, top[0]?.token ?? 0]),
      })) as ScoreResult;
      expect(score.prompt_tokens).toHaveLength(drawn.finish?.prompt_tokens ?? 0);
      expect(score.positions).toHaveLength(100);
      for (const [i, { argmax, wanted_logprobs, top_logprobs }] of score.positions.entries()) {
        const [own = 0, best = 0] = wanted_logprobs;
        expect(top_logprobs).toHaveLength(5);
        expect(top_logprobs[0]?.[0]).toBe(argmax);
        // A prompt's attention adds in another order than a single token's, in float16.
        expect(Math.abs(own - (drawn.logprobs[i]?.logprob ?? 0))).toBeLessThan(0.03);
        expect((top_logprobs[0]?.[1] ?? 0) - best).toBeLessThan(0.03);
      }
    }
  });
});

describe('the end of a stream', () => {
  it('comes at a stop string, whose beginning was never shown', async () => {
    const { text } = await engine.generate('hello', { max_tokens: 60 });
    const readable = /[!-~]{3}/.exec(text)?.[0] ?? text.slice(10, 13);
    const { text: cut, finish } = await engine.generate('hello', {
      max_tokens: 60,
      stop: [readable],
    });
    expect(cut).toBe(text.slice(0, text.indexOf(readable)));
    expect(finish?.reason).toBe('stop');
  });

  it('comes at the end of a turn unless that is ignored', async () => {
    // Token 3 is <|im_end|>.
    const sampling = { temperature: 0, logit_bias: [[3, 1000]] as [number, number][] };
    const { tokens, finish, text } = await engine.generate('hello', {
      sampling,
      ignore_eos: false,
    });
    expect(tokens).toEqual([3]);
    expect(text).toBe('');
    expect(finish).toMatchObject({ reason: 'stop', completion_tokens: 1 });
  });

  it('comes within a step of a cancel, and frees the sequence', async () => {
    let seen = 0;
    const id = 'to-cancel';
    const running = engine.generate('hello', { id, max_tokens: 240 }, () => {
      seen++;
      if (seen === 5) void engine.call({ type: 'cancel', target: id });
    });
    const { finish } = await running;
    expect(finish?.reason).toBe('cancelled');
    expect(finish?.completion_tokens).toBeLessThan(60);
    expect(await engine.call({ type: 'status' })).toMatchObject({ active: 0, queued: 0 });
  });

  it('never cuts a character in two', async () => {
    const { events } = await engine.generate('hello', {
      max_tokens: 200,
      sampling: { temperature: 2, seed: 1 },
    });
    for (const { text } of events) expect(text.isWellFormed()).toBe(true);
  });
});
