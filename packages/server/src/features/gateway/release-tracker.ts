// Which part of a text a guard has let go. A guard gives back text with marks in place of redactions; this
// finds the offsets of the text as it came. Knows no tokens and no JSON.
import type { GuardStep, PolicyDecision } from './content-policy.ts';

/** A piece of what was let go: text as it came, [start, end), or a mark that stands for [start, end). */
export interface ReleasedPart {
  readonly start: number;
  readonly end: number;
  /** Null: the text itself. */
  readonly mark: string | null;
}

export class ReleaseTracker {
  /** Everything before is let go or replaced. */
  released = 0;
  readonly redactions: PolicyDecision[] = [];
  /** Released text that is not yet matched with offsets. */
  #unread = '';

  take({ release, decisions }: GuardStep): readonly ReleasedPart[] {
    for (const decision of decisions) {
      if (decision.action === 'redact') this.redactions.push(decision);
    }
    if (release === '') return [];
    if (this.redactions.length === 0) {
      const start = this.released;
      this.released += release.length;
      return [{ start, end: this.released, mark: null }];
    }
    return this.#match(release);
  }

  /**
   * A mark stands for the characters of its redaction, all else is one to one. Of redactions that
   * overlap, the later one has a mark of its own or none.
   */
  #match(release: string): ReleasedPart[] {
    this.#unread += release;
    const parts: ReleasedPart[] = [];
    const text = (length: number): void => {
      if (length === 0) return;
      parts.push({ start: this.released, end: this.released + length, mark: null });
      this.released += length;
    };
    for (;;) {
      const next = this.redactions.find(({ end }) => end > this.released);
      const gap = next === undefined ? Infinity : Math.max(next.start - this.released, 0);
      if (next === undefined || this.#unread.length <= gap) {
        text(this.#unread.length);
        this.#unread = '';
        return parts;
      }
      text(gap);
      const rest = this.#unread.slice(gap);
      const mark = `[redacted: ${next.code}]`;
      const hasMark = rest.startsWith(mark);
      if (!hasMark && mark.startsWith(rest)) {
        this.#unread = rest; // The rest of the mark is still to come.
        return parts;
      }
      parts.push({ start: this.released, end: next.end, mark: hasMark ? mark : '' });
      this.released = next.end;
      this.#unread = hasMark ? rest.slice(mark.length) : rest;
    }
  }
}
