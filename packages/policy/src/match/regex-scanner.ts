// Finds one regular expression in a stream. Semantics: at each position in order, the longest text of
// at most maxChars normalised characters (and maxUnits original units) that the pattern matches and the
// validator accepts; then on behind its end. Empty matches do not count. Conditions such as \b see the
// true neighbours; $ means the end of the whole text.
//
// Cost: every position is a candidate that is read until no match can go on, at most maxChars steps of a
// memoised automaton; a typical candidate dies on its first character. No text can make it worse.
import type { Normalisation, ValidatorName } from '../pack-schema.ts';
import { breakCode, type CharBuffer } from '../text/char-buffer.ts';
import type { TextViews, ViewName } from '../text/text-views.ts';
import { endCode, type RegexProgram, type RegexState } from './regex-program.ts';
import type { Span, SpanScanner } from './span-source.ts';
import { validate, type Verdict } from './validators.ts';

export interface RegexMatcher {
  readonly program: RegexProgram;
  readonly view: ViewName;
  readonly maxChars: number;
  /** Most original UTF-16 units that one match may cover. */
  readonly maxUnits: number;
  readonly validator: ValidatorName | undefined;
}

export const regexViewOf: Record<Normalisation, ViewName> = {
  none: 'raw',
  'nfkc-strip': 'stripped',
  'nfkc-casefold-strip': 'folded',
};

export class RegexScanner implements SpanScanner {
  readonly #matcher: RegexMatcher;
  readonly #buffer: CharBuffer;
  /** Start of the current candidate. */
  #start = 0;
  /** Next character the candidate reads; [#start, #at) is read. */
  #at = 0;
  /** Undefined between candidates. */
  #state: RegexState | undefined;
  /** Ends of matches of the current candidate, rising. */
  #accepted: number[] = [];
  #decided: Span[] = [];

  constructor(matcher: RegexMatcher, views: TextViews) {
    this.#matcher = matcher;
    this.#buffer = views.buffer(matcher.view);
  }

  advance(ended: boolean): void {
    const buffer = this.#buffer;
    for (;;) {
      if (this.#state === undefined) {
        this.#state = this.#nextCandidate();
        this.#at = this.#start;
        if (this.#state === undefined) return;
      }
      if (this.#at >= buffer.length && !ended) return;
      this.#step(this.#state);
    }
  }

  /** Moves #start over positions that are known to die on their first character: most of all text. */
  #nextCandidate(): RegexState | undefined {
    const { program } = this.#matcher;
    const buffer = this.#buffer;
    let previous = this.#start === 0 ? undefined : buffer.code(this.#start - 1);
    for (; this.#start < buffer.length; this.#start += 1) {
      const state = program.startState(previous);
      const code = buffer.code(this.#start);
      const known = code >= 0 && code < 128 ? state.ascii[code] : undefined;
      if (known === undefined || known.next !== null) return state;
      previous = code;
    }
    return undefined;
  }

  #step(state: RegexState): void {
    const { program, maxChars, maxUnits } = this.#matcher;
    const buffer = this.#buffer;
    const at = this.#at;
    const next = at < buffer.length ? buffer.code(at) : endCode;
    const transition = program.step(state, next);
    if (transition.accepts && at > this.#start) this.#accepted.push(at);
    const fits =
      next !== endCode &&
      at - this.#start < maxChars &&
      buffer.end(at) - buffer.start(this.#start) <= maxUnits;
    if (transition.next === null || !fits) {
      this.#finish();
    } else {
      this.#state = transition.next;
      this.#at = at + 1;
    }
  }

  /** No match from #start can go on: choose the longest that counts. */
  #finish(): void {
    const buffer = this.#buffer;
    const { validator } = this.#matcher;
    let verdict: Verdict = 'match';
    const end = this.#accepted.findLast((candidate) => {
      if (validator !== undefined) {
        verdict = validate[validator](this.#textOf(this.#start, candidate));
      }
      return verdict !== 'no-match';
    });
    if (end !== undefined && verdict === 'match') {
      this.#decided.push({ start: buffer.start(this.#start), end: buffer.end(end - 1) });
    }
    this.#start = end ?? this.#start + 1;
    this.#state = undefined;
    if (this.#accepted.length > 0) this.#accepted = [];
  }

  #textOf(start: number, end: number): string {
    let text = '';
    for (let at = start; at < end; at += 1) {
      const code = this.#buffer.code(at);
      if (code !== breakCode) text += String.fromCodePoint(code);
    }
    return text;
  }

  openFrom(): number {
    return this.#start < this.#buffer.length
      ? this.#buffer.start(this.#start)
      : Number.POSITIVE_INFINITY;
  }

  take(): readonly Span[] {
    const decided = this.#decided;
    if (decided.length > 0) this.#decided = [];
    return decided;
  }

  needed(view: ViewName): number {
    return view === this.#matcher.view ? this.#start : Number.POSITIVE_INFINITY;
  }
}
