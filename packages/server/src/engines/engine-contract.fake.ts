// What every engine must do, whatever stands behind it: one suite for the scripted child, the llama.cpp
// child and remote engines. Says nothing of what the model answers.
import type { GenerationEvent } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine, GenerateRequest } from './engine.ts';

export interface EngineUnderTest extends AsyncDisposable {
  readonly engine: Engine;
  /** What this engine refuses by name; left out: nothing. */
  readonly cannot?: readonly ('score' | 'adapters')[];
  /** False: the ids of generated tokens are not told. Default: they are. */
  readonly tellsTokens?: boolean;
  /** A request that would go on for at least 50 tokens. */
  readonly long: Pick<GenerateRequest, 'prompt' | 'ignoreEos'>;
}

interface Collected {
  readonly text: string;
  readonly events: readonly GenerationEvent[];
  readonly finish: GenerationEvent['finish'];
}
async function collect(events: AsyncIterable<GenerationEvent>): Promise<Collected> {
  const all: GenerationEvent[] = [];
  for await (const event of events) all.push(event);
  const text = all.map((event) => event.text).join('');
  return { text, events: all, finish: all.at(-1)?.finish };
}

export function describeEngineContract(name: string, make: () => Promise<EngineUnderTest>): void {
  describe(`the engine contract: ${name}`, () => {
    let made: EngineUnderTest;
    let engine: Engine;
    beforeAll(async () => {
      made = await make();
      engine = made.engine;
    });
    afterAll(() => made[Symbol.asyncDispose]());

    const ask = (more: Partial<GenerateRequest> = {}): GenerateRequest => ({
      tenant: 'one',
      adapter: null,
      maxTokens: 20,
      sampling: { temperature: 0 },
      ...made.long,
      ...more,
    });

    test('the model says what it is', async () => {
      const info = await engine.info();
      expect(info.n_ctx).toBeGreaterThan(0);
      expect(info.build).not.toBe('');
    });

    test('a generation ends with what it has used', async () => {
      const { finish, events } = await collect(engine.generate(ask()));
      expect(finish).toMatchObject({ reason: 'length', completion_tokens: 20 });
      const prompt = engine.countsTokens
        ? (await engine.render(made.long.prompt)).tokens.length
        : finish?.prompt_tokens;
      expect(prompt).toBeGreaterThan(0);
      expect(finish?.prompt_tokens).toBe(prompt);
      const told = made.tellsTokens === false ? 0 : 20;
      expect(events.flatMap((event) => event.tokens)).toHaveLength(told);
      expect(events.filter((event) => event.finish)).toHaveLength(1);
    });

    test('equal requests at temperature 0, and equal seeds, give equal texts', async () => {
      const [a, b] = [await collect(engine.generate(ask())), await collect(engine.generate(ask()))];
      expect(a.text).toBe(b.text);
      const seeded = ask({ sampling: { temperature: 1, seed: 7 } });
      const first = await collect(engine.generate(seeded));
      expect((await collect(engine.generate(seeded))).text).toBe(first.text);
    });

    test('requests run side by side', async () => {
      const all = await Promise.all(
        Array.from({ length: 6 }, (_, i) =>
          collect(engine.generate(ask({ tenant: `t${i % 2}`, maxTokens: 5 }))),
        ),
      );
      expect(all.map(({ finish }) => finish?.completion_tokens)).toEqual([5, 5, 5, 5, 5, 5]);
    });

    test('an abort ends the events and frees the place within moments', async () => {
      const abort = new AbortController();
      let count = 0;
      const request = ask({ maxTokens: 200 });
      for await (const event of engine.generate(request, abort.signal)) {
        expect(event.finish).toBeUndefined();
        if (++count === 2) abort.abort();
      }
      expect(count).toBeLessThan(100);
      await expect.poll(async () => (await engine.report()).active, { timeout: 5000 }).toBe(0);
    });

    test('log-probabilities come with every token when asked for', async () => {
      const { events } = await collect(engine.generate(ask({ topLogprobs: 2, maxTokens: 4 })));
      const logprobs = events.flatMap((event) => event.logprobs ?? []);
      expect(logprobs).toHaveLength(4);
      for (const { logprob, top } of logprobs) {
        expect(logprob).toBeLessThanOrEqual(0);
        expect(top).toHaveLength(2);
      }
    });

    test('what exceeds the context is refused by code', async () => {
      const { n_ctx: nCtx } = await engine.info();
      const call = collect(engine.generate(ask({ maxTokens: nCtx })));
      await expect(call).rejects.toMatchObject({ code: 'context_length_exceeded' });
    });

    test('what cannot be done is refused by name', async () => {
      const cannot = made.cannot ?? [];
      const adapter = { id: 'a', path: '/nowhere/a.gguf' };
      const forced = { forcedTokens: [1], topLogprobs: 1, wanted: [] };
      const scored = { adapter: null, prompt: { kind: 'tokens' as const, tokens: [1] }, ...forced };
      const tries = {
        score: () => engine.score(scored),
        adapters: () => collect(engine.generate(ask({ adapter }))),
        render: () => engine.render(made.long.prompt),
      };
      for (const name of [...cannot, ...(engine.countsTokens ? [] : (['render'] as const))])
        await expect(tries[name](), name).rejects.toMatchObject({ code: 'unsupported_parameter' });
    });

    test('forced tokens are scored one by one', async ({ skip }) => {
      if (made.cannot?.includes('score')) skip('the engine cannot score');
      const { tokens } = await engine.render(made.long.prompt);
      const forced = tokens.slice(0, 3);
      const score = await engine.score({
        adapter: null,
        prompt: { kind: 'tokens', tokens: [...tokens] },
        forcedTokens: forced,
        topLogprobs: 1,
        wanted: forced.map((token) => [token]),
      });
      expect(score.prompt_tokens).toEqual(tokens);
      expect(score.positions).toHaveLength(3);
      for (const { wanted_logprobs: wanted } of score.positions) {
        expect(wanted).toHaveLength(1);
        expect(wanted[0]).toBeLessThanOrEqual(0);
      }
    });

    test('an adapter that cannot be loaded fails its request and nothing else', async () => {
      const adapter = { id: 'missing', path: '/nowhere/missing.gguf' };
      await expect(collect(engine.generate(ask({ adapter })))).rejects.toMatchObject({
        name: 'CorralError',
      });
      expect((await collect(engine.generate(ask({ maxTokens: 3 })))).finish?.reason).toBe('length');
    });
  });
}
