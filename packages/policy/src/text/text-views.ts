// The views of a text that detectors look at, built cluster by cluster with a map back to the original:
// raw; stripped (NFKC, nothing invisible); folded (case too); skeleton (look-alike letters as Latin);
// joined (skeleton without the separators in "k i l l"). Only views that a policy uses are built.
import { CharBuffer, breakCode } from './char-buffer.ts';
import { flag, flagsOf, scriptMask } from './char-flags.ts';
import { skeletonOf } from './confusables.ts';
import { foldCluster, isSeparator, rawCluster, stripCluster } from './normalise.ts';

export type ViewName = 'raw' | 'stripped' | 'folded' | 'skeleton' | 'joined';

/**
 * Invisible units in a row after which a break stands in every normalised view. It bounds how far
 * apart, in the original, two neighbouring normalised characters can be.
 */
export const maxInvisibleRun = 64;

/** Skeleton character of a folded one: code and flags. */
export function skeletonChar(code: number): { code: number; flags: number } {
  const flags = flagsOf(code);
  const skeleton = skeletonOf(code);
  const imitates = skeleton !== code && (flags & flag.latin) !== 0;
  return {
    code: skeleton,
    flags: imitates ? (flags & ~scriptMask) | flag.latinLookalike : flags,
  };
}

/** True when the separator at `at` stands between two single letters: "k i", but not "ok i" or "k is". */
function joinsSingleLetters(source: CharBuffer, at: number): boolean {
  const isLetter = (index: number) => (source.flags(index) & flag.letter) !== 0;
  return isLetter(at - 1) && !isLetter(at - 2) && isLetter(at + 1) && !isLetter(at + 2);
}

export class TextViews {
  readonly #used: ReadonlySet<ViewName>;
  readonly #buffers: Record<ViewName, CharBuffer> = {
    raw: new CharBuffer(),
    stripped: new CharBuffer(),
    folded: new CharBuffer(),
    skeleton: new CharBuffer(),
    joined: new CharBuffer(),
  };
  #invisible = 0;
  /** Next skeleton character to carry over into `joined`. */
  #joinAt = 0;

  constructor(used: ReadonlySet<ViewName>) {
    this.#used = used;
  }

  buffer(name: ViewName): CharBuffer {
    return this.#buffers[name];
  }

  /** Adds one cluster, `text`, which stands at [start, end) of the original. */
  push(text: string, start: number, end: number): void {
    const used = this.#used;
    if (used.has('raw')) this.#append('raw', rawCluster(text), start, end);
    const single = text.length === 1 ? text.charCodeAt(0) : 128;
    if (single >= 0x20 && single < 0x7f) {
      this.#pushAscii(single, start, end);
      return;
    }
    const stripped = stripCluster(text);
    if (stripped.length === 0) {
      this.#pushInvisible(start, end);
      return;
    }
    this.#invisible = 0;
    if (used.has('stripped')) this.#append('stripped', stripped, start, end);
    const folded = foldCluster(text);
    if (used.has('folded')) this.#append('folded', folded, start, end);
    if (used.has('skeleton')) this.#appendSkeleton(folded, start, end);
  }

  #pushAscii(code: number, start: number, end: number): void {
    this.#invisible = 0;
    const lower = code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
    const used = this.#used;
    if (used.has('stripped')) this.#buffers.stripped.push(code, start, end, flagsOf(code));
    if (used.has('folded')) this.#buffers.folded.push(lower, start, end, flagsOf(lower));
    if (used.has('skeleton')) this.#buffers.skeleton.push(lower, start, end, flagsOf(lower));
  }

  #pushInvisible(start: number, end: number): void {
    const before = this.#invisible;
    this.#invisible += end - start;
    if (before > maxInvisibleRun || this.#invisible <= maxInvisibleRun) return;
    for (const name of ['stripped', 'folded', 'skeleton'] as const) {
      if (this.#used.has(name)) this.#buffers[name].push(breakCode, start, end, 0);
    }
  }

  #append(name: ViewName, codes: readonly number[], start: number, end: number): void {
    for (const code of codes) this.#buffers[name].push(code, start, end, flagsOf(code));
  }

  #appendSkeleton(folded: readonly number[], start: number, end: number): void {
    for (const foldedCode of folded) {
      const { code, flags } = skeletonChar(foldedCode);
      this.#buffers.skeleton.push(code, start, end, flags);
    }
  }

  /** Brings `joined` up to date; with `ended`, to the last character. */
  join(ended: boolean): void {
    if (!this.#used.has('joined')) return;
    const { skeleton, joined } = this.#buffers;
    while (this.#joinAt < skeleton.length) {
      const at = this.#joinAt;
      const separates = isSeparator(skeleton.code(at));
      // Only a separator after a single letter has to wait for the two characters behind it.
      const undecided =
        separates &&
        (skeleton.flags(at - 1) & flag.letter) !== 0 &&
        (skeleton.flags(at - 2) & flag.letter) === 0;
      if (undecided && !ended && at + 2 >= skeleton.length) return;
      if (!undecided || !joinsSingleLetters(skeleton, at)) {
        const flags = skeleton.flags(at);
        joined.push(skeleton.code(at), skeleton.start(at), skeleton.end(at), flags);
      }
      this.#joinAt = at + 1;
    }
  }

  /** Where in the original the first character starts that a view has not got yet. */
  frontier(name: ViewName, processed: number): number {
    const { skeleton } = this.#buffers;
    return name === 'joined' && this.#joinAt < skeleton.length
      ? skeleton.start(this.#joinAt)
      : processed;
  }

  /** Forgets what scanners no longer need; `needed` gives each view's earliest index. */
  trim(needed: (name: ViewName) => number): void {
    for (const name of this.#used) {
      const own = needed(name);
      const index = name === 'skeleton' ? Math.min(own, this.#joinAt) : own;
      // Two characters of context stay for word boundaries and single letters.
      this.#buffers[name].trim(index - 2);
    }
  }
}
