// One answer on its way out: the engine's events pass the policy's guard, and what comes out is text that
// may be shown, log-probabilities of exactly that text, and an end. The same for streamed and whole
// answers. Knows neither HTTP nor OpenAI's shapes.
import type { GenerationEvent, TokenLogprob } from '@corral/contracts';
import type { OutputGuard, PolicyDecision } from './content-policy.ts';

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

export interface GenerationUsage {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
}

export type GuardedEvent =
  | { readonly kind: 'text'; readonly text: string; readonly logprobs: readonly TokenLogprob[] }
  | {
      readonly kind: 'end';
      readonly finishReason: FinishReason;
      readonly usage: GenerationUsage;
      readonly decisions: readonly PolicyDecision[];
    };

interface HeldLogprob {
  readonly entry: TokenLogprob;
  /** UTF-16 offsets of the token in the engine's text. */
  readonly start: number;
  readonly end: number;
}

/**
 * Token log-probabilities tell the text as surely as the text does: each waits until the guard has let
 * its characters go, and those under a redaction never leave.
 */
class LogprobGate {
  #held: HeldLogprob[] = [];
  #produced = 0;
  #released = 0;
  readonly #redactions: PolicyDecision[] = [];
  /** Released text that is not yet matched with offsets. */
  #unread = '';

  take(event: GenerationEvent): void {
    let at = this.#produced;
    this.#produced += event.text.length;
    for (const entry of event.logprobs ?? []) {
      // A token of half a character has no text of its own: it goes with the place it stands at.
      const end = Math.min(at + entry.text.length, this.#produced);
      this.#held.push({ entry, start: Math.min(at, end), end });
      at = end;
    }
  }

  /** `release` is what the guard let go; `decisions` are those of the same step. */
  let(release: string, decisions: readonly PolicyDecision[]): TokenLogprob[] {
    for (const decision of decisions) {
      if (decision.action === 'redact') this.#redactions.push(decision);
    }
    this.#advance(release);
    const free = this.#held.filter(({ end }) => end <= this.#released);
    this.#held = this.#held.filter(({ end }) => end > this.#released);
    return free.filter((held) => !this.#isRedacted(held)).map(({ entry }) => entry);
  }

  /**
   * A mark stands for the characters of its redaction, all else is one to one. Of redactions that
   * overlap, the later one has a mark of its own or none.
   */
  #advance(release: string): void {
    this.#unread += release;
    for (;;) {
      const next = this.#redactions.find(({ end }) => end > this.#released);
      const gap = next === undefined ? Infinity : Math.max(next.start - this.#released, 0);
      if (next === undefined || this.#unread.length <= gap) {
        this.#released += this.#unread.length;
        this.#unread = '';
        return;
      }
      const rest = this.#unread.slice(gap);
      const mark = `[redacted: ${next.code}]`;
      const hasMark = rest.startsWith(mark);
      if (!hasMark && mark.startsWith(rest)) return; // The rest of the mark is still to come.
      this.#released = next.end;
      this.#unread = hasMark ? rest.slice(mark.length) : rest;
    }
  }

  #isRedacted({ start, end }: HeldLogprob): boolean {
    return this.#redactions.some(
      (redaction) => start < redaction.end && Math.max(end, start + 1) > redaction.start,
    );
  }
}

/**
 * Ends with an `end` event, unless `events` ended early because the client has gone. `countPrompt` is
 * asked only when the policy ends an answer before the engine has said how long the prompt was.
 */
export async function* guardGeneration(
  events: AsyncIterable<GenerationEvent>,
  guard: OutputGuard,
  countPrompt: () => Promise<number>,
): AsyncGenerator<GuardedEvent> {
  const gate = new LogprobGate();
  const decisions: PolicyDecision[] = [];
  let completion = 0;
  let usage: GenerationUsage = { prompt: 0, completion: 0, cached: 0 };
  for await (const event of events) {
    completion += event.tokens.length;
    gate.take(event);
    const steps = [guard.push(event.text)];
    if (event.finish && steps[0]?.stop === null) steps.push(guard.end());
    for (const step of steps) {
      decisions.push(...step.decisions);
      const logprobs = gate.let(step.release, step.decisions);
      if (step.release !== '' || logprobs.length > 0) {
        yield { kind: 'text', text: step.release, logprobs };
      }
      if (step.stop !== null) {
        usage = { prompt: await countPrompt(), completion, cached: 0 };
        yield { kind: 'end', finishReason: 'content_filter', usage, decisions };
        return; // Leaving the loop cancels the generation.
      }
    }
    if (!event.finish || event.finish.reason === 'cancelled') continue;
    const { prompt_tokens, completion_tokens, cached_tokens, reason } = event.finish;
    usage = { prompt: prompt_tokens, completion: completion_tokens, cached: cached_tokens };
    // OpenAI has no word for a deadline: the answer is shorter than it might have been.
    const finishReason = reason === 'deadline' ? 'length' : reason;
    yield { kind: 'end', finishReason, usage, decisions };
  }
}
