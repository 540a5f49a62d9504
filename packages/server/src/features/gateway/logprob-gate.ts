// Token log-probabilities tell the text as surely as the text does: each waits until the guard has let its
// characters go, and those under a redaction never leave. Offsets are UTF-16 units of the engine's text.
import type { GenerationEvent, TokenLogprob } from '@corral/contracts';
import type { GuardedText, RedactedRange } from './guarded-text.ts';

export interface ShownLogprob extends Omit<TokenLogprob, 'logprob'> {
  /** Null: the first token of a prompt, which nothing predicts. */
  readonly logprob: number | null;
  /** Where the token stands in the text that is shown. */
  readonly offset: number;
}

type Entry = Omit<ShownLogprob, 'offset'>;

interface HeldLogprob {
  readonly entry: Entry;
  readonly start: number;
  readonly end: number;
}

export class LogprobGate {
  #held: HeldLogprob[] = [];
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** Text that the tokens so far spell, as long as it may still have to be compared with what is shown. */
  #spelled: string | null = '';
  /** Where the next token begins, by what the tokens before it spell. */
  #at = 0;
  /** Characters that the tokens spell and the engine left out at the beginning. */
  #skipped = 0;
  /** Length of the engine's text so far. */
  #produced = 0;

  /** Of an event: `text` is its text. An engine may hold text back that its token has come for. */
  take(text: string, entries: readonly Entry[]): void {
    this.#produced += text.length;
    for (const entry of entries) {
      const piece =
        entry.bytes.length > 0
          ? this.#decoder.decode(Uint8Array.from(entry.bytes), { stream: true })
          : entry.text;
      const start = this.#at;
      this.#at += piece.length;
      if (this.#spelled !== null) this.#spelled += piece;
      // Part of a character: it goes with the character.
      const isPart = piece === '' && entry.bytes.length > 0;
      this.#held.push({ entry, start, end: this.#at + (isPart ? 1 : 0) });
    }
    if (text !== '' && this.#spelled !== null && this.#spelled !== '') this.#align(text);
  }

  /** Text of the answer whose tokens have no entries. */
  skip(text: string): void {
    this.#produced += text.length;
    this.#at += text.length;
    this.#spelled = null;
  }

  /** White space that belongs to a template is spelt by the first token and not part of the answer. */
  #align(text: string): void {
    const spelled = this.#spelled ?? '';
    this.#spelled = null;
    if (text.startsWith(spelled) || spelled.startsWith(text)) return;
    const space = spelled.length - spelled.trimStart().length;
    const rest = spelled.slice(space);
    if (text.startsWith(rest) || rest.startsWith(text)) this.#skipped = space;
  }

  /** Entries whose text has gone out; with `final`, all that have a place in the text. */
  free({ released, redacted }: GuardedText, final: boolean): ShownLogprob[] {
    const shown: ShownLogprob[] = [];
    const kept: HeldLogprob[] = [];
    for (const held of this.#held) {
      const start = Math.max(held.start - this.#skipped, 0);
      const end = final
        ? Math.min(held.end - this.#skipped, this.#produced)
        : held.end - this.#skipped;
      if (end > released) kept.push(held);
      else if (start < this.#produced || (held.start === held.end && !final)) {
        const range = lastBefore(redacted, Math.max(end, start + 1));
        const isRedacted = range !== undefined && range.end > start;
        const shift = redacted.findLast((one) => one.end <= start)?.shift ?? 0;
        if (!isRedacted) shown.push({ ...held.entry, offset: start + shift });
      }
    }
    this.#held = kept;
    return shown;
  }
}

/** The last range that begins before `offset`. */
const lastBefore = (ranges: readonly RedactedRange[], offset: number): RedactedRange | undefined =>
  ranges.findLast(({ start }) => start < offset);

/** Entries of a prompt that is part of the answer; the first has no log-probability. */
export function promptEntries(prompt: NonNullable<GenerationEvent['prompt']>): Entry[] {
  const { text, tokens, logprobs = [] } = prompt;
  const rest = logprobs.slice(1).reduce((sum, entry) => sum + (entry?.text.length ?? 0), 0);
  return logprobs.flatMap((entry, i): Entry[] => {
    if (entry !== null) return [entry];
    if (i > 0) return [];
    const first = text.slice(0, Math.max(text.length - rest, 0));
    const bytes = [...Buffer.from(first)];
    return [{ token: tokens[0] ?? 0, text: first, bytes, logprob: null, top: [] }];
  });
}
