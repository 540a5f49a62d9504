// Log-probabilities and the text they belong to, when an engine does not give both at once.
import type { GenerationEvent, TokenLogprob } from '@corral/contracts';
import { expect, test } from 'vitest';
import { fakePolicy } from './fake-policy.fake.ts';
import { guardGeneration } from './guarded-generation.ts';

const entry = (text: string, bytes: readonly number[] = [...Buffer.from(text)]): TokenLogprob => ({
  token: 1,
  text,
  bytes,
  logprob: -1,
  top: [],
});
type Step = readonly [text: string, ...entries: TokenLogprob[]];

/** What is shown, step by step: text and tokens. */
async function shownOf(steps: readonly Step[], prompt?: GenerationEvent['prompt']) {
  const counts = { prompt_tokens: 1, completion_tokens: 1, cached_tokens: 0 };
  async function* events(): AsyncGenerator<GenerationEvent> {
    if (prompt) yield { id: 'g', text: '', tokens: [], prompt };
    for (const [text, ...logprobs] of steps) yield { id: 'g', text, tokens: [1], logprobs };
    yield { id: 'g', text: '', tokens: [], finish: { reason: 'stop', ...counts } };
  }
  let text = '';
  const tokens: { text: string; offset: number }[] = [];
  for await (const event of guardGeneration(events(), {
    newGuard: () => fakePolicy.guardOutput(),
    countPrompt: () => Promise.resolve(1),
    logprobs: true,
  })) {
    if (event.kind !== 'text') continue;
    text += event.text;
    for (const { text: token, offset } of event.logprobs) {
      tokens.push({ text: token, offset });
      // Never before its text.
      expect(text.length).toBeGreaterThanOrEqual(offset);
    }
  }
  return { text, tokens, words: tokens.map((token) => token.text) };
}

test('a token whose text is held back waits for it, and goes with it when it is redacted', async () => {
  const { text, words } = await shownOf([
    ['', entry('the')],
    ['', entry(' SEC')],
    ['the SECRET', entry('RET')],
    [' is out', entry(' is'), entry(' out')],
  ]);
  expect(text).toBe('the [redacted: POL-SECRET] is out');
  expect(words).toEqual(['the', ' is', ' out']);
});

test('white space that a template takes away moves nothing', async () => {
  const steps: Step[] = [
    ['SECRET', entry(' SECRET')],
    [' a', entry(' a')],
  ];
  const { text, tokens } = await shownOf(steps);
  expect(text).toBe('[redacted: POL-SECRET] a');
  expect(tokens).toEqual([{ text: ' a', offset: 22 }]);
});

test('tokens that are parts of one character go with the character', async () => {
  const [first, second] = [Buffer.from('😀').subarray(0, 2), Buffer.from('😀').subarray(2)];
  const { text, words } = await shownOf([
    ['', entry('\ufffd', [...first])],
    ['😀', entry('\ufffd', [...second])],
    ['SECRET', entry('SECRET')],
    ['!', entry('!')],
  ]);
  expect(text).toBe('😀[redacted: POL-SECRET]!');
  expect(words).toEqual(['\ufffd', '\ufffd', '!']);
});

test('what a stop string cuts off is not told', async () => {
  const { text, words } = await shownOf([['one', entry('one')], ['', entry(' END')], ['']]);
  expect(text).toBe('one');
  expect(words).toEqual(['one']);
});

test('a prompt that is repeated is judged with the answer, as one text', async () => {
  const letters = ['S', 'E', 'C'];
  const prompt = {
    text: 'SEC',
    tokens: [1, 1, 1],
    logprobs: letters.map((letter, i) => (i === 0 ? null : entry(letter))),
  };
  const { text, words } = await shownOf(
    [
      ['RET', entry('RET')],
      [' ok', entry(' ok')],
    ],
    prompt,
  );
  expect(text).toBe('[redacted: POL-SECRET] ok');
  expect(words).toEqual([' ok']);
});

test('offsets point into the text that is shown', async () => {
  const words = ['a ', 'SECRET', ' b ', 'SECRET', ' c'];
  const { text, tokens } = await shownOf(words.map((word): Step => [word, entry(word)]));
  for (const { text: token, offset } of tokens) {
    expect(text.slice(offset, offset + token.length)).toBe(token);
  }
  expect(tokens.map((token) => token.text)).toEqual(['a ', ' b ', ' c']);
});
