// However the engine cuts its text into events, the same text comes out, and log-probabilities never tell
// more than the text that has left.
import type { GenerationEvent, TokenLogprob } from '@corral/contracts';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDefaultPolicy } from './default-policy.ts';
import { fakePolicy } from './fake-policy.fake.ts';
import { guardGeneration } from './guarded-generation.ts';
import type { GuardedEvent } from './guarded-generation.ts';

const entry = (text: string, token: number): TokenLogprob => ({
  token,
  text,
  bytes: [...Buffer.from(text)],
  logprob: -1,
  top: [],
});

async function* generation(pieces: readonly string[]): AsyncGenerator<GenerationEvent> {
  for (const [i, text] of pieces.entries()) {
    yield { id: 'g', text, tokens: [i], logprobs: [entry(text, i)] };
  }
  const counts = { prompt_tokens: 7, completion_tokens: pieces.length, cached_tokens: 0 };
  yield { id: 'g', text: '', tokens: [], finish: { reason: 'stop', ...counts } };
}

async function run(pieces: readonly string[], guard = fakePolicy.guardOutput()) {
  const seen: GuardedEvent[] = [];
  let text = '';
  const tokens: string[] = [];
  const options = {
    newGuard: () => guard,
    countPrompt: () => Promise.resolve(7),
    logprobs: true,
  };
  for await (const event of guardGeneration(generation(pieces), options)) {
    seen.push(event);
    if (event.kind !== 'text') continue;
    text += event.text;
    tokens.push(...event.logprobs.map((logprob) => logprob.text));
    // What the tokens spell is a part of what has been shown, with redacted parts left out.
    const shown = text.split('[redacted: POL-SECRET]').join('');
    expect(isSubsequence(tokens.join(''), shown)).toBe(true);
  }
  const end = seen.at(-1);
  return { text, tokens, end: end?.kind === 'end' ? end : null };
}

function isSubsequence(part: string, whole: string): boolean {
  let at = 0;
  for (const letter of whole) if (part.startsWith(letter, at)) at += letter.length;
  return at === part.length;
}

/** Words of which some are the policy's, cut into pieces anywhere. */
const cutText = fc
  .array(fc.constantFrom('SECRET', 'HALT', 'a', 'SEC', 'word ', 'ü', '😀', ' '), { maxLength: 12 })
  .chain((words) => {
    const letters = Array.from(words.join(''));
    return fc.tuple(
      fc.constant(letters.join('')),
      fc.array(fc.nat({ max: Math.max(letters.length, 1) }), { maxLength: 8 }).map((cuts) => {
        const bounds = [0, ...cuts.toSorted((a, b) => a - b), letters.length];
        return bounds.slice(1).map((end, i) => letters.slice(bounds[i], end).join(''));
      }),
    );
  });

test('every way of cutting gives the text, the end and the decisions of the whole', async () => {
  await fc.assert(
    fc.asyncProperty(cutText, async ([whole, pieces]) => {
      const [cut, uncut] = [await run(pieces), await run([whole])];
      expect(cut.text).toBe(uncut.text);
      expect(cut.end?.finishReason).toBe(uncut.end?.finishReason);
      expect(cut.end?.decisions).toEqual(uncut.end?.decisions);
    }),
    { numRuns: 300 },
  );
});

test('without redactions every token keeps its log-probability', async () => {
  const pieces = ['Hello', ',', ' wor', 'ld', '!'];
  const { tokens, end } = await run(pieces);
  expect(tokens).toEqual(pieces);
  expect(end).toMatchObject({ finishReason: 'stop', usage: { prompt: 7, completion: 5 } });
});

test('an answer that the policy ends says so and counts what was generated', async () => {
  const { text, end } = await run(['ab HA', 'LT cd', ' ef']);
  expect(text).toBe('ab ');
  expect(end).toMatchObject({
    finishReason: 'content_filter',
    usage: { prompt: 7, completion: 2 },
    decisions: [{ action: 'stop' }],
  });
});

test('the default policy hides a key that is spread over tokens, and its tokens', async () => {
  const key = 'ghp_0123456789abcdefghijABCDEFGHIJ012345';
  const letters = Array.from(`the key is ${key} ok`);
  const { text, tokens, end } = await run(letters, createDefaultPolicy().guardOutput());
  expect(text).toMatch(/^the key is \[redacted: [\w-]+\] ok$/);
  expect(tokens.join('')).toBe('the key is  ok');
  expect(end?.decisions.filter(({ action }) => action === 'redact')).toHaveLength(1);
});
