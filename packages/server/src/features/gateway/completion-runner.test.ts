// The framing of a stream: for any texts and any interleaving of answers, what a reader of server-sent
// events puts together is what was generated, and the stream has one beginning and one end per answer.
import { CorralError } from '@corral/contracts';
import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { SseStream } from '../../http/sse.ts';
import { chatShape } from './chat-shape.ts';
import { runStream, runWhole } from './completion-runner.ts';
import type { Run } from './completion-runner.ts';
import type { Answering } from './gateway-service.ts';
import type { GuardedEvent } from './guarded-generation.ts';

interface Sent {
  choices: { index: number; delta: { content?: string; role?: string }; finish_reason: unknown }[];
  usage?: unknown;
}

/** A stream that keeps what was sent. */
function recorder(): { stream: SseStream; sent: Sent[]; ends: string[] } {
  const sent: Sent[] = [];
  const ends: string[] = [];
  const stream: SseStream = {
    closed: false,
    signal: new AbortController().signal,
    send: () => Promise.reject(new Error('frames are written')),
    write(frames) {
      expect(frames.endsWith('\n\n')).toBe(true);
      for (const line of frames.slice(0, -2).split('\n\n')) {
        expect(line.startsWith('data: ')).toBe(true);
        sent.push(JSON.parse(line.slice(6)) as Sent);
      }
      return undefined;
    },
    fail: async (error) => {
      ends.push(error.code);
    },
    done: async () => {
      ends.push('[DONE]');
    },
  };
  return { stream, sent, ends };
}

const usage = { prompt: 3, completion: 1, cached: 0 };
async function* choice(pieces: readonly string[], error?: Error): AsyncGenerator<GuardedEvent> {
  for (const text of pieces) {
    await Promise.resolve();
    yield { kind: 'text', text, logprobs: [] };
  }
  if (error) throw error;
  yield { kind: 'end', finishReason: 'stop', atDeadline: false, usage, decisions: [] };
}

const runOf = (choices: AsyncIterable<GuardedEvent>[], includeUsage = false): Run => ({
  answering: {
    served: { model: { id: 'm' } },
    fingerprint: 'fp_1',
    inputNotices: [],
    choices: choices.map((events) => ({ prompt: 0, events })),
  } as unknown as Answering,
  head: { id: 'chatcmpl-1', created: 1, model: 'm', system_fingerprint: 'fp_1' },
  shape: chatShape,
  withLogprobs: false,
  includeUsage,
  n: choices.length,
  echo: false,
  olderCalls: false,
});

test('texts arrive whole and in order, each answer opened and finished once', async () => {
  const texts = fc.array(fc.array(fc.string({ unit: 'binary', minLength: 1 }), { maxLength: 6 }), {
    minLength: 1,
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(texts, fc.boolean(), async (pieces, includeUsage) => {
      const { stream, sent, ends } = recorder();
      const choices = pieces.map((piece) => choice(piece));
      await runStream(runOf(choices, includeUsage), () => stream);
      expect(ends).toEqual(['[DONE]']);
      for (const [index, piece] of pieces.entries()) {
        const own = sent.flatMap(({ choices: all }) => all.filter((one) => one.index === index));
        expect(own.map(({ delta }) => delta.content ?? '').join('')).toBe(piece.join(''));
        expect(own[0]?.delta.role).toBe('assistant');
        expect(own.filter(({ delta }) => delta.role !== undefined)).toHaveLength(1);
        expect(own.map((one) => one.finish_reason).filter((reason) => reason !== null)).toEqual([
          'stop',
        ]);
        expect(own.at(-1)?.finish_reason).toBe('stop');
      }
      const withUsage = sent.filter((chunk) => chunk.usage !== undefined);
      expect(withUsage).toHaveLength(includeUsage ? 1 : 0);
      expect(withUsage.every(({ choices: all }) => all.length === 0)).toBe(true);
      expect(includeUsage ? sent.at(-1) : undefined).toBe(withUsage[0]);
    }),
    { numRuns: 100 },
  );
});

test('a whole answer is what its stream spells', async () => {
  const pieces = ['one ', 'two', ' three'];
  const { body } = await runWhole(runOf([choice(pieces)]));
  expect(body).toMatchObject({ choices: [{ message: { content: 'one two three' } }] });
});

test('a failure after the first event ends the stream with its code', async () => {
  const { stream, ends } = recorder();
  const error = new CorralError('engine_failed', { params: { reason: 'x' } });
  await expect(runStream(runOf([choice(['a'], error)]), () => stream)).rejects.toBe(error);
  expect(ends).toEqual(['engine_failed']);
});

test('a failure before the first event opens no stream', async () => {
  const error = new CorralError('overloaded', { params: { reason: 'x' } });
  const open = (): SseStream => {
    throw new Error('opened');
  };
  await expect(runStream(runOf([choice([], error)]), open)).rejects.toBe(error);
});

test('a failure before the first event ends the other answers too', async () => {
  const error = new CorralError('overloaded', { params: { reason: 'x' } });
  let ended = false;
  const endless = async function* (): AsyncGenerator<GuardedEvent> {
    try {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        yield { kind: 'text', text: 'more ', logprobs: [] };
      }
    } finally {
      ended = true;
    }
  };
  const open = (): SseStream => {
    throw new Error('opened');
  };
  await expect(runStream(runOf([endless(), choice([], error)]), open)).rejects.toBe(error);
  await vi.waitFor(() => expect(ended).toBe(true));
});
