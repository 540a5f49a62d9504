// One answer on its way out: the engine's events pass the policy's guard, and what comes out is text and
// calls that may be shown, log-probabilities of exactly that text, and an end. The same for streamed and
// whole answers. Knows neither HTTP nor OpenAI's shapes.
import { CorralError } from '@corral/contracts';
import type { GenerationEvent, ToolCallDelta } from '@corral/contracts';
import type { OutputGuard, PolicyDecision } from './content-policy.ts';
import { GuardedCalls } from './guarded-calls.ts';
import type { ReleasedCalls } from './guarded-calls.ts';
import { GuardedText } from './guarded-text.ts';
import type { ReleasedText } from './guarded-text.ts';
import { LogprobGate, promptEntries } from './logprob-gate.ts';
import type { ShownLogprob } from './logprob-gate.ts';

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

export interface GenerationUsage {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
}

export interface TextEvent {
  readonly kind: 'text';
  readonly text: string;
  readonly logprobs: readonly ShownLogprob[];
}
interface CallsEvent {
  readonly kind: 'calls';
  readonly deltas: readonly ToolCallDelta[];
}
export interface EndEvent {
  readonly kind: 'end';
  readonly finishReason: FinishReason;
  /** The deadline cut it: OpenAI has no word for that, so the finish reason is `length`. */
  readonly atDeadline: boolean;
  readonly usage: GenerationUsage;
  readonly decisions: readonly PolicyDecision[];
}
export type GuardedEvent = TextEvent | CallsEvent | EndEvent;

export interface GuardOptions {
  readonly newGuard: () => OutputGuard;
  /** Asked only when the policy ends an answer before the engine has said how long the prompt was. */
  readonly countPrompt: () => Promise<number>;
  /** The answer is JSON: judged as its reader sees it. */
  readonly json?: boolean;
  readonly logprobs?: boolean;
  readonly deadlineMs?: number | null;
  /** Called when the answer is first read; what it resolves with is called when reading is over. */
  readonly begin?: () => Promise<() => void>;
  /** Heard before the end is given out. */
  readonly onEnd?: (end: EndEvent) => Promise<void>;
}

const noLogprobs: readonly ShownLogprob[] = [];

/** The guards of one answer. `out` is what may be shown of the last event. */
class AnswerGuard {
  out: GuardedEvent[] = [];
  readonly decisions: PolicyDecision[] = [];
  isStopped = false;
  completion = 0;
  readonly #options: GuardOptions;
  #text: GuardedText;
  #calls: GuardedCalls | null = null;
  /** Null: log-probabilities are not asked for, or the text goes on behind calls. */
  #gate: LogprobGate | null;

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#text = this.#newText();
    this.#gate = options.logprobs ? new LogprobGate() : null;
  }

  push(event: GenerationEvent): void {
    this.completion += event.tokens.length;
    if (event.prompt) this.#readPrompt(event.prompt);
    if (event.logprobs) this.#gate?.take(event.text, event.logprobs);
    else if (event.text !== '') this.#gate?.take(event.text, []);
    if (event.text !== '' && !this.isStopped) this.#release(this.#text.push(event.text));
    if (event.tool_calls && !this.isStopped) this.#readCalls(event.tool_calls);
    if (event.finish && !this.isStopped) this.#finish();
  }

  /** Any rule has changed the text. */
  get isRedacted(): boolean {
    return this.#text.redacted.length > 0;
  }

  #newText(): GuardedText {
    return new GuardedText(this.#options.newGuard(), this.#options.json ? 'json' : 'plain');
  }

  /** The prompt is part of the answer's text, so that no word can hide on the border. */
  #readPrompt(prompt: NonNullable<GenerationEvent['prompt']>): void {
    if (prompt.logprobs) this.#gate?.take(prompt.text, promptEntries(prompt));
    else this.#gate?.skip(prompt.text);
    this.#release(this.#text.push(prompt.text));
  }

  #readCalls(deltas: readonly ToolCallDelta[]): void {
    if (this.#calls === null) {
      this.#calls = new GuardedCalls(this.#options.newGuard);
      this.#release(this.#text.end(), true);
      this.#text = this.#newText();
      this.#gate = null;
    }
    if (!this.isStopped) this.#releaseCalls(this.#calls.push(deltas));
  }

  #finish(): void {
    this.#release(this.#text.end(), true);
    if (this.#calls && !this.isStopped) this.#releaseCalls(this.#calls.end());
  }

  #release({ text, decisions, stop }: ReleasedText, final = false): void {
    if (decisions.length > 0) this.decisions.push(...decisions);
    this.isStopped ||= stop !== null;
    const logprobs = this.#gate?.free(this.#text, final && stop === null) ?? noLogprobs;
    if (text !== '' || logprobs.length > 0) this.out.push({ kind: 'text', text, logprobs });
  }

  #releaseCalls({ deltas, decisions, blocked }: ReleasedCalls): void {
    this.decisions.push(...decisions);
    if (deltas.length > 0) this.out.push({ kind: 'calls', deltas });
    if (blocked === null) return;
    this.isStopped = true;
    this.out.push({ kind: 'text', text: `[blocked: ${blocked.code}]`, logprobs: noLogprobs });
  }
}

type Finish = NonNullable<GenerationEvent['finish']>;

function endOf(guard: AnswerGuard, finish: Finish, options: GuardOptions): EndEvent | null {
  const { reason, prompt_tokens: prompt, completion_tokens: completion, cached_tokens } = finish;
  if (reason === 'cancelled') return null;
  const atDeadline = reason === 'deadline';
  if (atDeadline && completion === 0) {
    const params = { deadline_ms: options.deadlineMs ?? 0 };
    throw new CorralError('deadline_exceeded', { params });
  }
  // Who asked for JSON must not take what a mark stands in for what was asked.
  const isChanged = options.json === true && guard.isRedacted;
  const finishReason = isChanged ? 'content_filter' : atDeadline ? 'length' : reason;
  const usage = { prompt, completion, cached: cached_tokens };
  return { kind: 'end', finishReason, atDeadline, usage, decisions: guard.decisions };
}

/** The end of an answer that the policy has stopped. */
async function stoppedEnd(
  { decisions, completion }: AnswerGuard,
  finish: Finish | undefined,
  { countPrompt }: GuardOptions,
): Promise<EndEvent> {
  const prompt = finish?.prompt_tokens ?? (await countPrompt());
  const usage = { prompt, completion, cached: finish?.cached_tokens ?? 0 };
  return { kind: 'end', finishReason: 'content_filter', atDeadline: false, usage, decisions };
}

/**
 * Ends with an `end` event, unless `events` ended early because the client has gone.
 * Throws deadline_exceeded when the deadline came before the first token.
 */
export async function* guardGeneration(
  events: AsyncIterable<GenerationEvent>,
  options: GuardOptions,
): AsyncGenerator<GuardedEvent> {
  const leave = await options.begin?.();
  try {
    const guard = new AnswerGuard(options);
    for await (const event of events) {
      guard.push(event);
      for (const shown of guard.out) yield shown;
      guard.out.length = 0;
      if (!guard.isStopped && event.finish === undefined) continue;
      const end = guard.isStopped
        ? await stoppedEnd(guard, event.finish, options)
        : event.finish && endOf(guard, event.finish, options);
      if (end) {
        await options.onEnd?.(end);
        yield end;
      }
      return; // Leaving the loop cancels what still generates.
    }
  } finally {
    leave?.();
  }
}
