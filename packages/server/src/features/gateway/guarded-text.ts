// A text on its way out through the policy's guard: what may go now, and where it stood in the text as it
// came. JSON is judged as its reader will see it and sent as it was written. Knows no tokens.
import type { GuardStep, OutputGuard, PolicyDecision } from './content-policy.ts';
import { JsonView } from './json-view.ts';
import { ReleaseTracker } from './release-tracker.ts';

/** [start, end) of the text as it came, gone. */
export interface RedactedRange {
  readonly start: number;
  readonly end: number;
  /** What is shown behind it stands this much further to the right than it did in the text as it came. */
  readonly shift: number;
}

export interface ReleasedText {
  readonly text: string;
  readonly decisions: readonly PolicyDecision[];
  /** The text ends here. */
  readonly stop: PolicyDecision | null;
}

export class GuardedText {
  /** Everything before this offset of the text as it came has been let go or is redacted. */
  released = 0;
  readonly redacted: RedactedRange[] = [];
  readonly #guard: OutputGuard;
  readonly #tracker = new ReleaseTracker();
  readonly #view: JsonView | null;
  /** JSON text not yet let go. */
  #held = '';

  constructor(guard: OutputGuard, form: 'plain' | 'json') {
    this.#guard = guard;
    this.#view = form === 'json' ? new JsonView() : null;
  }

  push(text: string): ReleasedText {
    if (this.#view === null) return this.#release(this.#guard.push(text));
    this.#held += text;
    return this.#release(this.#guard.push(this.#view.push(text)));
  }

  /** The text is complete. */
  end(): ReleasedText {
    const rest = this.#view?.end() ?? '';
    if (rest === '') return this.#release(this.#guard.end());
    const before = this.#release(this.#guard.push(rest));
    if (before.stop !== null) return before;
    const after = this.#release(this.#guard.end());
    const decisions = [...before.decisions, ...after.decisions];
    return { text: before.text + after.text, decisions, stop: after.stop };
  }

  #release(step: GuardStep): ReleasedText {
    const { decisions, stop } = step;
    let text = '';
    for (const { start, end, mark } of this.#tracker.take(step)) {
      const [from, to] = [this.#rawOffset(start), this.#rawOffset(end)];
      const own = this.#held.slice(0, to - from);
      this.#held = this.#held.slice(to - from);
      text += mark ?? own;
      this.released = to;
      if (mark === null) continue;
      const shift = (this.redacted.at(-1)?.shift ?? 0) + mark.length - (to - from);
      this.redacted.push({ start: from, end: to, shift });
    }
    return { text: this.#view === null ? step.release : text, decisions, stop };
  }

  #rawOffset(offset: number): number {
    return this.#view?.rawOffset(offset) ?? offset;
  }
}
