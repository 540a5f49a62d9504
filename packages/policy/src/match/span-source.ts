// What a scanner gives to the stream guard: spans in the original text, and how far back something
// may still begin. The contract that makes streaming equal to whole-text matching: a span that starts
// before `openFrom()` has been emitted, and no later text can add, change or withdraw one.

import type { ViewName } from '../text/text-views.ts';

export interface Span {
  /** UTF-16 offsets [start, end) of the original text, on cluster boundaries. */
  readonly start: number;
  readonly end: number;
}

export interface SpanScanner {
  /** Reads all characters that have arrived; `ended` says that no more will. */
  readonly advance: (ended: boolean) => void;
  /** Original offset from which on spans are still undecided; Infinity when nothing is open. */
  readonly openFrom: () => number;
  /** Takes the spans decided since the last call, by start. */
  readonly take: () => readonly Span[];
  /** Earliest index of a view's characters that is still needed; Infinity for other views. */
  readonly needed: (view: ViewName) => number;
}
