// Turns choices that generate into one OpenAI answer, whole or as a stream. A stream opens when the first
// event is there, so that what fails before that is an HTTP status and not an event in a 200.
import { setTimeout as delay } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type { ToolCall, ToolCallDelta } from '@corral/contracts';
import type { SseStream } from '../../http/sse.ts';
import type {
  ChoiceChunks,
  CompletionHead,
  CompletionShape,
  CorralAddition,
  FinishedChoice,
  ShapeOptions,
} from './completion-shapes.ts';
import { usageOf } from './completion-shapes.ts';
import { noticesOf } from './content-policy.ts';
import type { PolicyDecision } from './content-policy.ts';
import type { Answering } from './gateway-service.ts';
import type { EndEvent, GuardedEvent } from './guarded-generation.ts';
import type { ShownLogprob } from './logprob-gate.ts';

export interface Run extends ShapeOptions {
  readonly answering: Answering;
  readonly head: CompletionHead;
  readonly shape: CompletionShape;
  readonly includeUsage: boolean;
  /** Answers to one prompt that are given; of more, the likeliest. */
  readonly n: number;
  /** The answers begin with their prompts. */
  readonly echo: boolean;
}

/**
 * A stream opens after this even without a first token: proxies give up on silent connections. Failures
 * later than this come as an error event.
 */
const openAfterMs = 10_000;

interface EndedChoice extends FinishedChoice {
  readonly end: EndEvent;
}

const cancelled = (): CorralError => new CorralError('cancelled');

/** Puts pieces of calls together. */
function collectCalls(calls: Map<number, ToolCall>, deltas: readonly ToolCallDelta[]): void {
  for (const { index, id = '', name = '', arguments: text } of deltas) {
    const known = calls.get(index);
    if (known) known.arguments += text;
    else calls.set(index, { id, name, arguments: text });
  }
}

/** Reads a choice to its end. Throws cancelled when it ends without one: the client has gone. */
async function readChoice(
  events: AsyncIterable<GuardedEvent>,
  prompt: number,
  onEvent?: (event: Exclude<GuardedEvent, EndEvent>) => Promise<void> | undefined,
): Promise<EndedChoice> {
  let text = '';
  const logprobs: ShownLogprob[] = [];
  const calls = new Map<number, ToolCall>();
  for await (const event of events) {
    if (event.kind === 'end') {
      const { finishReason, usage } = event;
      // Beside a call that was blocked, others must not be carried out as if they were all.
      const whole = finishReason === 'content_filter' ? [] : [...calls.values()];
      return { prompt, text, calls: whole, logprobs, finishReason, usage, end: event };
    }
    const wait = onEvent?.(event);
    if (wait) await wait;
    if (event.kind === 'calls') {
      collectCalls(calls, event.deltas);
      continue;
    }
    text += event.text;
    if (event.logprobs.length > 0) logprobs.push(...event.logprobs);
  }
  throw cancelled();
}

function additionOf(run: Run, ends: readonly EndEvent[]): CorralAddition {
  const decisions: PolicyDecision[] = ends.flatMap((end) => end.decisions);
  return {
    model: run.answering.served.model.id,
    policy: [...run.answering.inputNotices, ...noticesOf(decisions)],
    ...(ends.some(({ atDeadline }) => atDeadline) ? { stopped_by: 'deadline' } : {}),
  };
}

interface Reading {
  readonly prompt: number;
  readonly first: Promise<unknown>;
  readonly events: AsyncIterable<GuardedEvent>;
  /** Ends the choice although nobody has read `events`. */
  readonly drop: () => void;
}

/** Begins to read a choice at once and gives its events again from the first. */
function startReading({ prompt, events }: Answering['choices'][number]): Reading {
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  first.catch(() => undefined); // Heard by whoever reads the events.
  let isFirst = true;
  const again: AsyncIterator<GuardedEvent> = {
    next() {
      if (!isFirst) return iterator.next();
      isFirst = false;
      return first;
    },
    return: async (value) => (await iterator.return?.(value)) ?? { done: true, value: undefined },
  };
  const drop = (): void => void iterator.return?.()?.catch(() => undefined);
  return { prompt, first, events: { [Symbol.asyncIterator]: () => again }, drop };
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
  read: (choice: Reading, index: number) => Promise<EndedChoice>,
): Promise<EndedChoice[]> {
  try {
    return await Promise.all(reading.map((choice, index) => read(choice, index)));
  } catch (error) {
    for (const { drop } of reading) drop();
    throw error;
  }
}

/** Mean log-probability of what was generated. */
function likelihood({ logprobs, usage }: FinishedChoice, echo: boolean): number {
  const known = logprobs
    .slice(echo ? usage.prompt : 0)
    .flatMap(({ logprob }) => (logprob === null ? [] : [logprob]));
  return known.reduce((sum, logprob) => sum + logprob, 0) / Math.max(known.length, 1);
}

/** The `n` likeliest answers to each prompt, likeliest first; all of them in their order when `n` were made. */
function chosen(choices: readonly EndedChoice[], { n, echo }: Run): EndedChoice[] {
  const prompts = Map.groupBy(choices, ({ prompt }) => prompt);
  const worth = (choice: EndedChoice): number => likelihood(choice, echo);
  return [...prompts.values()].flatMap((all) =>
    all.length <= n ? all : all.toSorted((a, b) => worth(b) - worth(a)).slice(0, n),
  );
}

/** The whole answer as one object. */
export async function runWhole(
  run: Run,
): Promise<{ body: unknown; choices: readonly FinishedChoice[] }> {
  const reading = run.answering.choices.map((choice) => startReading(choice));
  const choices = await readAll(reading, ({ events, prompt }) => readChoice(events, prompt));
  const shown = chosen(choices, run);
  const addition = additionOf(
    run,
    shown.map(({ end }) => end),
  );
  const { withLogprobs, olderCalls, head } = run;
  const facts = { withLogprobs, olderCalls, addition, usage: usageOf(choices) };
  return { body: run.shape.whole(head, shown, facts), choices };
}

const sendEvent = (
  stream: SseStream,
  chunks: ChoiceChunks,
  event: Exclude<GuardedEvent, EndEvent>,
): Promise<void> | undefined =>
  stream.write(event.kind === 'text' ? chunks.text(event) : chunks.calls(event.deltas));

/** The answer as a stream; `open` is called when there is something to say. */
export async function runStream(
  run: Run,
  open: () => SseStream,
): Promise<readonly FinishedChoice[]> {
  const { head, shape, includeUsage } = run;
  const reading = run.answering.choices.map((choice) => startReading(choice));
  await firstNews(reading);
  const stream = open();
  try {
    const choices = await readAll(reading, async ({ events, prompt }, index) => {
      const chunks = shape.chunks(head, index, run);
      const choice = await readChoice(events, prompt, (event) => sendEvent(stream, chunks, event));
      await stream.write(chunks.finish(choice.end, additionOf(run, [choice.end])));
      return choice;
    });
    if (includeUsage) await stream.write(shape.usage(head, usageOf(choices)));
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
