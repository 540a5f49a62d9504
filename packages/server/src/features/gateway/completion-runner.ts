// Turns choices that generate into one OpenAI answer, whole or as a stream. A stream opens when the first
// event is there, so that what fails before that is an HTTP status and not an event in a 200.
import { setTimeout as delay } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type { TokenLogprob } from '@corral/contracts';
import type { SseStream } from '../../http/sse.ts';
import type {
  CompletionHead,
  CompletionShape,
  CorralAddition,
  FinishedChoice,
} from './completion-shapes.ts';
import { usageOf } from './completion-shapes.ts';
import { noticesOf } from './content-policy.ts';
import type { PolicyDecision } from './content-policy.ts';
import type { Answering } from './gateway-service.ts';
import type { GuardedEvent } from './guarded-generation.ts';

export interface Run {
  readonly answering: Answering;
  readonly head: CompletionHead;
  readonly shape: CompletionShape;
  readonly withLogprobs: boolean;
  readonly includeUsage: boolean;
}

/**
 * A stream opens after this even without a first token: proxies give up on silent connections. Failures
 * later than this come as an error event.
 */
const openAfterMs = 10_000;

interface EndedChoice extends FinishedChoice {
  readonly decisions: readonly PolicyDecision[];
}

const cancelled = (): CorralError => new CorralError('cancelled');

/** Reads a choice to its end. Throws cancelled when it ends without one: the client has gone. */
async function readChoice(
  events: AsyncIterable<GuardedEvent>,
  onText?: (
    part: { text: string; logprobs: readonly TokenLogprob[] },
    offset: number,
  ) => Promise<void>,
): Promise<EndedChoice> {
  let text = '';
  const logprobs: TokenLogprob[] = [];
  for await (const event of events) {
    if (event.kind === 'end') return { text, logprobs, ...event };
    await onText?.(event, text.length);
    text += event.text;
    logprobs.push(...event.logprobs);
  }
  throw cancelled();
}

const additionOf = (run: Run, decisions: readonly PolicyDecision[]): CorralAddition => ({
  model: run.answering.served.model.id,
  policy: [...run.answering.inputNotices, ...noticesOf(decisions)],
});

interface Reading {
  readonly first: Promise<unknown>;
  readonly events: AsyncGenerator<GuardedEvent>;
  /** Ends the choice although nobody has read `events`. */
  readonly drop: () => void;
}

/** Begins to read a choice at once and gives its events again from the first. */
function startReading(events: AsyncIterable<GuardedEvent>): Reading {
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  first.catch(() => undefined); // Heard by whoever reads the events.
  const again = async function* (): AsyncGenerator<GuardedEvent> {
    try {
      for (let next = await first; !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  };
  const drop = (): void => void iterator.return?.()?.catch(() => undefined);
  return { first, events: again(), drop };
}

/** Waits for the first event of any choice, not forever. When one fails the others stop generating. */
async function firstNews(reading: readonly Reading[]): Promise<void> {
  const patience = new AbortController();
  try {
    await Promise.race([
      ...reading.map(({ first }) => first),
      delay(openAfterMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
  } catch (error) {
    for (const { drop } of reading) drop();
    throw error;
  } finally {
    patience.abort();
  }
}

/** All choices side by side; when one fails the others stop generating. */
async function readAll(
  reading: readonly Reading[],
  read: (events: AsyncIterable<GuardedEvent>, index: number) => Promise<EndedChoice>,
): Promise<EndedChoice[]> {
  try {
    return await Promise.all(reading.map(({ events }, index) => read(events, index)));
  } catch (error) {
    for (const { drop } of reading) drop();
    throw error;
  }
}

/** The whole answer as one object. */
export async function runWhole(
  run: Run,
): Promise<{ body: unknown; choices: readonly FinishedChoice[] }> {
  const reading = run.answering.choices.map((events) => startReading(events));
  const choices = await readAll(reading, (events) => readChoice(events));
  const addition = additionOf(
    run,
    choices.flatMap(({ decisions }) => decisions),
  );
  const { withLogprobs } = run;
  return { body: run.shape.whole(run.head, choices, { withLogprobs, addition }), choices };
}

/** The answer as a stream; `open` is called when there is something to say. */
export async function runStream(
  run: Run,
  open: () => SseStream,
): Promise<readonly FinishedChoice[]> {
  const { head, shape, withLogprobs, includeUsage } = run;
  const reading = run.answering.choices.map((events) => startReading(events));
  await firstNews(reading);
  const stream = open();
  try {
    const choices = await readAll(reading, async (events, index) => {
      const opening = shape.opening(head, index);
      if (opening !== null) await stream.send(opening);
      const choice = await readChoice(events, (part, offset) =>
        stream.send(shape.text(head, part, { index, withLogprobs, offset })),
      );
      const { finishReason, decisions } = choice;
      const addition = additionOf(run, decisions);
      await stream.send(shape.finish(head, index, { finishReason, addition }));
      return choice;
    });
    if (includeUsage) await stream.send(shape.usage(head, usageOf(choices)));
    await stream.done();
    return choices;
  } catch (error) {
    const known = CorralError.isInstance(error)
      ? error
      : new CorralError('internal_error', { params: { request_id: head.id }, cause: error });
    await stream.fail(known);
    throw known;
  }
}
