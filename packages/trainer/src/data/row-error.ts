// One bad row, thrown by whatever looks at it and caught where rows are counted. The reason says what is
// wrong in the person's own words and values; the fix says what to do.
import type { RowProblem } from './line-reader.ts';

export class RowError extends Error {
  override readonly name: string = 'RowError';
  readonly reason: string;
  readonly fix: string;

  constructor(reason: string, fix: string) {
    super(reason);
    this.reason = reason;
    this.fix = fix;
  }

  get problem(): RowProblem {
    return { reason: this.reason, fix: this.fix };
  }
}

/** A row that is longer than the context: a policy may drop or cut it (`data.truncate`). */
export class TooLongError extends RowError {
  readonly tokens: number;

  constructor(tokens: number, contextLength: number) {
    super(
      `${tokens} tokens do not fit context_length ${contextLength}`,
      'shorten or split it, raise data.context_length, or set data.truncate to drop or cut',
    );
    this.tokens = tokens;
  }
}

/** A value as a message quotes it: short, on one line. */
export function quote(value: unknown): string {
  const text = printed(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function printed(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // Nested so deeply that printing it exhausts the stack.
    return Array.isArray(value) ? '[…]' : '{…}';
  }
}
