// Certificates against an engine of known opinions: what passes, what does not, and the cause that is named.
import type { Golden, ScoreResult } from '@corral/contracts';
import { expect, test } from 'vitest';
import type { ScoreRequest } from '../../engines/engine.ts';
import { replayGolden } from './parity-check.ts';
import type { ReplayOptions } from './parity-check.ts';

/** Ten positions; the trainer is 90 % sure of token 7 each time. */
const golden: Golden = {
  schema: 'corral-golden/1',
  base: { sha256: 'b' },
  transcripts: [
    {
      messages: [{ role: 'user', content: 'hi' }],
      prompt_tokens: [1, 2, 3],
      greedy_tokens: Array.from({ length: 10 }, () => 7),
      top_logprobs: Array.from({ length: 10 }, () => [
        [7, Math.log(0.9)],
        [8, Math.log(0.05)],
      ]),
    },
  ],
};

/** An engine whose probability of 7 at each position is given; the rest of 0.95 goes to 8. */
const engineOf = (
  sure: (request: ScoreRequest, position: number) => number,
  tokens: readonly number[] = [1, 2, 3],
): ReplayOptions['engine'] => ({
  render: () => Promise.resolve({ text: '', tokens }),
  score: (request) => {
    const positions: ScoreResult['positions'] = request.forcedTokens.map((_, i) => {
      const p = sure(request, i);
      return {
        argmax: p >= 0.475 ? 7 : 8,
        top_logprobs: [],
        wanted_logprobs: [Math.log(p), Math.log(0.95 - p)],
      };
    });
    return Promise.resolve({ prompt_tokens: [1, 2, 3], positions });
  },
});

const check = (engine: ReplayOptions['engine'], more: Partial<ReplayOptions> = {}) =>
  replayGolden({
    engine,
    adapter: { id: 'a', path: '/a' },
    golden,
    servingFormat: 'Q8_0',
    otherBase: false,
    signal: new AbortController().signal,
    ...more,
  });

test('an engine of the same opinion passes with zero divergence', async () => {
  const parity = await check(
    engineOf(() => 0.9),
    { servingFormat: 'F16' },
  );
  expect(parity).toMatchObject({
    prompt_tokens_equal: true,
    greedy_agreement: 1,
    positions: 10,
    passed: true,
    first_difference: null,
  });
  expect(parity.mean_kl).toBeCloseTo(0, 9);
});

test('one flip in ten passes for quantised weights and fails for full precision', async () => {
  const nearTie = engineOf((_, i) => (i === 4 ? 0.45 : 0.9));
  const full = await check(nearTie, { servingFormat: 'F16' });
  expect(full).toMatchObject({ greedy_agreement: 0.9, passed: false });
  const slight = engineOf((_, i) => (i === 4 ? 0.47 : 0.89));
  expect(await check(slight)).toMatchObject({
    greedy_agreement: 0.9,
    passed: true,
    first_difference: { position: 4, expected: 7, found: 8 },
  });
});

test('another prompt never passes, and the template is named', async () => {
  const parity = await check(engineOf(() => 0.9, [1, 2, 4]));
  expect(parity).toMatchObject({ prompt_tokens_equal: false, greedy_agreement: 1, passed: false });
  expect(parity.first_difference).toMatchObject({ position: 2, expected: 3, found: 4 });
  expect(parity.first_difference?.likely_cause).toContain('template');
});

test('an adapter without effect is named', async () => {
  const parity = await check(engineOf(() => 0.2));
  expect(parity.passed).toBe(false);
  expect(parity.first_difference?.likely_cause).toContain('not applied');
});

test('rounding is named when the adapter does most of its work', async () => {
  const parity = await check(engineOf(({ adapter }) => (adapter ? 0.46 : 0.01)));
  expect(parity.passed).toBe(false);
  expect(parity.first_difference?.likely_cause).toContain('rounding by the serving format Q8_0');
});

test('other weights are named when the adapter has an effect', async () => {
  const parity = await check(engineOf(({ adapter }) => (adapter ? 0.2 : 0.1)));
  expect(parity.first_difference?.likely_cause).toContain('weights differ');
});

test('no positions is no proof', async () => {
  const parity = await check(
    engineOf(() => 0.9),
    { golden: { ...golden, transcripts: [] } },
  );
  expect(parity.passed).toBe(false);
});
