// A compiled word list and the scanner that finds it in a stream. Semantics: of all occurrences with
// allowed boundaries and scripts, the leftmost, then the longest; then on behind its end.
//
// Terms and text are compared as skeletons (look-alike letters as Latin), on the text as it is and with
// the separators of "k i l l" left out. An occurrence counts when its letters are of the term's scripts,
// or of several scripts mixed: a disguise. A whole word of another script is left alone.
import { breakCode, type CharBuffer } from '../text/char-buffer.ts';
import { flag, flagsOf, scriptMask } from '../text/char-flags.ts';
import { foldCluster, rawCluster, stripCluster } from '../text/normalise.ts';
import { skeletonChar, type TextViews, type ViewName } from '../text/text-views.ts';
import { clusterEnd } from '../text/clusters.ts';
import type { Boundary, Normalisation } from '../pack-schema.ts';
import { AhoCorasick } from './aho-corasick.ts';
import type { Span, SpanScanner } from './span-source.ts';

const viewsOf: Record<Normalisation, readonly ViewName[]> = {
  none: ['raw'],
  'nfkc-strip': ['stripped'],
  'nfkc-casefold-strip': ['skeleton', 'joined'],
};

export interface Lexicon {
  readonly automaton: AhoCorasick;
  readonly views: readonly ViewName[];
  readonly boundary: Boundary;
  /** Most original UTF-16 units that one occurrence may cover. */
  readonly maxUnits: number;
  readonly maxTermChars: number;
}

interface Char {
  readonly code: number;
  readonly flags: number;
}

function normaliseTerm(term: string, normalise: Normalisation): Char[] {
  const chars: Char[] = [];
  for (let from = 0; from < term.length;) {
    const end = clusterEnd(term, from, true);
    const cluster = term.slice(from, end);
    const plain = (codes: readonly number[]) =>
      codes.map((code) => ({ code, flags: flagsOf(code) }));
    if (normalise === 'none') chars.push(...plain(rawCluster(cluster)));
    else if (normalise === 'nfkc-strip') chars.push(...plain(stripCluster(cluster)));
    else chars.push(...foldCluster(cluster).map((code) => skeletonChar(code)));
    from = end;
  }
  return chars;
}

export interface LexiconOptions {
  readonly normalise: Normalisation;
  readonly boundary: Boundary;
  /** Longest term, in normalised characters. */
  readonly maxChars: number;
  readonly maxUnits: number;
}

/** Compiles terms; those that are empty or longer than `maxChars` once normalised go to `refused`. */
export function compileLexicon(
  terms: readonly string[],
  { normalise, boundary, maxChars, maxUnits }: LexiconOptions,
): { lexicon: Lexicon; refused: string[] } {
  const refused: string[] = [];
  const compiled = terms.flatMap((term) => {
    const chars = normaliseTerm(term.trim(), normalise);
    if (chars.length === 0 || chars.length > maxChars) {
      refused.push(term);
      return [];
    }
    const script = chars.reduce((mask, { flags }) => mask | (flags & scriptMask), 0);
    return [{ codes: chars.map(({ code }) => code), script }];
  });
  const maxTermChars = compiled.reduce((max, { codes }) => Math.max(max, codes.length), 0);
  const automaton = new AhoCorasick(compiled);
  const lexicon = { automaton, views: viewsOf[normalise], boundary, maxUnits, maxTermChars };
  return { lexicon, refused };
}

const isMixed = (mask: number): boolean => (mask & (mask - 1)) !== 0;

/** One automaton over one view. */
class LexiconCursor {
  readonly #lexicon: Lexicon;
  readonly #buffer: CharBuffer;
  readonly view: ViewName;
  #state = 0;
  /** Next character to read. */
  #at = 0;
  /** Occurrences that end before #at and wait for their right neighbour; indices [start, #at). */
  #waiting: number[] = [];

  constructor(lexicon: Lexicon, view: ViewName, buffer: CharBuffer) {
    this.#lexicon = lexicon;
    this.#buffer = buffer;
    this.view = view;
  }

  advance(ended: boolean, emit: (span: Span) => void): void {
    const buffer = this.#buffer;
    while (this.#at < buffer.length) {
      this.#resolveWaiting(emit);
      this.#step();
    }
    if (ended) {
      this.#resolveWaiting(emit);
      this.#state = 0;
    }
  }

  #step(): void {
    const { automaton, maxUnits } = this.#lexicon;
    const buffer = this.#buffer;
    const at = this.#at;
    this.#at = at + 1;
    const code = buffer.code(at);
    let state = code === breakCode ? 0 : automaton.next(this.#state, code);
    // A beginning that is too far back, or that no boundary allows, can never become an occurrence.
    while (state !== 0) {
      const start = at + 1 - automaton.depth(state);
      if (buffer.end(at) - buffer.start(start) <= maxUnits && this.#allowsEdge(start - 1, start))
        break;
      state = automaton.fail(state);
    }
    this.#state = state;
    let term = automaton.scripts(state) === 0 ? automaton.shorterTerm(state) : state;
    for (; term !== 0; term = automaton.shorterTerm(term)) {
      const start = at + 1 - automaton.depth(term);
      if (this.#allowsEdge(start - 1, start) && this.#allowsScript(start, at, term)) {
        this.#waiting.push(start);
      }
    }
  }

  /** True when a term may start or end between the neighbours `left` and `right`. */
  #allowsEdge(left: number, right: number): boolean {
    const { boundary } = this.#lexicon;
    if (boundary === 'substring') return true;
    const [a, b] = [this.#buffer.flags(left), this.#buffer.flags(right)];
    if ((a & b & flag.word) === 0) return true;
    return boundary === 'cjk' && ((a | b) & flag.spaceless) !== 0;
  }

  #allowsScript(first: number, last: number, term: number): boolean {
    let mask = 0;
    for (let at = first; at <= last; at += 1) mask |= this.#buffer.flags(at) & scriptMask;
    return isMixed(mask) || ((this.#lexicon.automaton.scripts(term) >>> mask) & 1) !== 0;
  }

  /** The right neighbour of waiting occurrences is the character at #at, or nothing at the end. */
  #resolveWaiting(emit: (span: Span) => void): void {
    if (this.#waiting.length === 0) return;
    const last = this.#at - 1;
    if (this.#allowsEdge(last, this.#at)) {
      for (const start of this.#waiting) {
        emit({ start: this.#buffer.start(start), end: this.#buffer.end(last) });
      }
    }
    this.#waiting = [];
  }

  /**
   * Index of the earliest character that may belong to an undecided occurrence. An occurrence that waits
   * for its right neighbour is a suffix of the current beginning, so it lies behind that.
   */
  get open(): number {
    return this.#at - this.#lexicon.automaton.depth(this.#state);
  }

  get openOffset(): number {
    const { open } = this;
    return open < this.#at ? this.#buffer.start(open) : Number.POSITIVE_INFINITY;
  }
}

const byStart = (a: Span, b: Span): number => a.start - b.start || b.end - a.end;

export class LexiconScanner implements SpanScanner {
  readonly #cursors: readonly LexiconCursor[];
  readonly #views: TextViews;
  /** Occurrences found, of which the leftmost-longest are still to be chosen. */
  #found: Span[] = [];
  #decided: Span[] = [];
  /** End of the last chosen occurrence: nothing that starts before it counts. */
  #floor = 0;

  constructor(lexicon: Lexicon, views: TextViews) {
    this.#views = views;
    this.#cursors = lexicon.views.map(
      (view) => new LexiconCursor(lexicon, view, views.buffer(view)),
    );
  }

  advance(ended: boolean): void {
    for (const cursor of this.#cursors) {
      cursor.advance(ended, (span) => {
        this.#found.push(span);
      });
    }
    if (this.#found.length > 0) this.#choose();
  }

  #choose(): void {
    const open = this.#openOffset();
    const rest: Span[] = [];
    for (const span of this.#found.toSorted(byStart)) {
      if (span.start < this.#floor) continue;
      if (span.start >= open) {
        rest.push(span);
      } else {
        this.#decided.push(span);
        this.#floor = span.end;
      }
    }
    this.#found = rest;
  }

  #openOffset(): number {
    let open = Number.POSITIVE_INFINITY;
    for (const cursor of this.#cursors) {
      // A view may lag behind the text; what it has not got yet is undecided.
      const frontier = this.#views.frontier(cursor.view, Number.POSITIVE_INFINITY);
      open = Math.min(open, cursor.openOffset, frontier);
    }
    return open;
  }

  openFrom(): number {
    const found = this.#found.reduce(
      (min, { start }) => (start >= this.#floor ? Math.min(min, start) : min),
      this.#openOffset(),
    );
    return Math.max(found, this.#floor);
  }

  take(): readonly Span[] {
    const decided = this.#decided;
    this.#decided = [];
    return decided;
  }

  needed(view: ViewName): number {
    const cursor = this.#cursors.find((one) => one.view === view);
    return cursor?.open ?? Number.POSITIVE_INFINITY;
  }
}
