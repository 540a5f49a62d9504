// Chunks of every kind, also those that nobody promised: events or an UpstreamFailure, never another error.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UpstreamAnswer } from './upstream-answer.ts';
import { retryAfterSeconds, statusFailure, UpstreamFailure, wordsOf } from './upstream-failure.ts';

const answer = (kind: 'chat' | 'text', topLogprobs: number | null = null): UpstreamAnswer =>
  new UpstreamAnswer({ id: 'x', kind, topLogprobs });

test('log-probabilities in the form of chats and in the old one of completions', () => {
  const chat = { token: 'ä', logprob: -0.5, top_logprobs: [{ token: 'b', id: 3, logprob: -1 }] };
  const choice = { delta: { content: 'ä' }, logprobs: { content: [chat] } };
  const event = answer('chat', 1).read(JSON.stringify({ choices: [choice] }));
  const other = { token: 3, text: 'b', bytes: [98], logprob: -1 };
  expect(event).toMatchObject({
    text: 'ä',
    tokens: [],
    logprobs: [{ token: -1, text: 'ä', bytes: [195, 164], logprob: -0.5, top: [other] }],
  });
  const logprobs = { tokens: ['a'], token_logprobs: [null], top_logprobs: [{ a: -1, b: -2 }] };
  const old = answer('text', 1).read(JSON.stringify({ choices: [{ text: 'a', logprobs }] }));
  expect(old?.logprobs).toMatchObject([{ text: 'a', logprob: -9999, top: [{ text: 'a' }] }]);
});

test('without usage, tokens are counted as chunks; a stream that says no end was cut', () => {
  const reader = answer('text');
  for (const text of ['a', '', 'b']) reader.read(JSON.stringify({ choices: [{ text }] }));
  expect(reader.usage).toEqual({ prompt: null, completion: 2, cached: 0 });
  expect(() => reader.finishReason()).toThrow('cut');
  reader.read('{"choices":[{"text":"","finish_reason":"length"}]}');
  reader.read('{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":9}}');
  expect(reader.read(' [DONE]')).toBeNull();
  expect([reader.ended, reader.finishReason()]).toEqual([true, 'length']);
  expect(reader.usage).toEqual({ prompt: 4, completion: 9, cached: 0 });
});

test('whatever JSON comes, an event or an UpstreamFailure', () => {
  const part = fc.jsonValue({ maxDepth: 3 });
  const chunk = fc.record(
    {
      choices: fc.oneof(
        part,
        fc.array(
          fc.record(
            {
              delta: fc.oneof(
                part,
                fc.record({ content: part, tool_calls: fc.oneof(part, fc.array(part)) }),
              ),
              text: part,
              logprobs: fc.oneof(part, fc.record({ content: part, tokens: part })),
              finish_reason: fc.oneof(part, fc.constantFrom('stop', 'tool_calls', 'other')),
            },
            { requiredKeys: [] },
          ),
        ),
      ),
      usage: part,
      error: part,
    },
    { requiredKeys: [] },
  );
  const data = fc.oneof(
    chunk.map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(data, { maxLength: 5 }), fc.constantFrom('chat', 'text'), (all, kind) => {
      const reader = answer(kind, 2);
      try {
        for (const one of all) {
          const event = reader.read(one);
          expect(typeof (event?.text ?? '')).toBe('string');
        }
      } catch (error) {
        expect(error).toBeInstanceOf(UpstreamFailure);
      }
      expect(reader.usage.completion).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 500 },
  );
});

test.each([
  [
    '{"error":{"message":"request (8030 tokens) exceeds the available context size (1024 tokens)","type":"exceed_context_size_error","n_prompt_tokens":8030,"n_ctx":1024}}',
    8030,
    1024,
  ],
  [
    '{"error":{"message":"This model\'s maximum context length is 4096 tokens. However, you requested 5000 tokens","code":"context_length_exceeded"}}',
    5000,
    4096,
  ],
])('a prompt that is too long, in the words of its server: %#', (body, prompt, nCtx) => {
  const failure = statusFailure({ status: 400, body, retryAfter: undefined });
  expect(failure.toCorralError('far')).toMatchObject({
    code: 'context_length_exceeded',
    params: { prompt_tokens: prompt, n_ctx: nCtx },
  });
});

test('words are bounded, whatever the body is', () => {
  expect(wordsOf('{"error":"no"}')).toBe('no');
  expect(wordsOf('{"detail":"gone"}')).toBe('gone');
  expect(wordsOf('<html>'.repeat(1000))).toHaveLength(300);
});

test('Retry-After is seconds or a date', () => {
  expect(retryAfterSeconds('1.5')).toBe(1.5);
  expect(retryAfterSeconds('Thu, 01 Jan 1970 00:00:30 GMT', 10_000)).toBe(20);
  expect(retryAfterSeconds('soon')).toBeNull();
  expect(retryAfterSeconds(undefined)).toBeNull();
});
