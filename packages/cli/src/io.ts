// The terminal as the commands see it: results on stdout, everything for people on stderr. Typed and
// small so that tests can pass their own. Knows no command.
import pc from 'picocolors';

export interface Io {
  /** Writes to stdout as it is. */
  out(text: string): void;
  /** Writes to stderr as it is. */
  err(text: string): void;
  /** Progress may redraw its line: stderr is a terminal. */
  readonly live: boolean;
  /** A person can be asked: stdin is a terminal. */
  readonly inputInteractive: boolean;
  /** Width of the terminal in columns. */
  columns(): number;
  readonly colors: ReturnType<typeof pc.createColors>;
}

/** The real terminal of this process. Honours NO_COLOR, FORCE_COLOR and TERM=dumb. */
export function processIo(): Io {
  const dumb = process.env['TERM'] === 'dumb';
  const color =
    process.env['FORCE_COLOR'] !== undefined ||
    (process.env['NO_COLOR'] === undefined && process.stderr.isTTY && !dumb);
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    live: process.stderr.isTTY && !dumb,
    inputInteractive: process.stdin.isTTY,
    columns: () => process.stderr.columns ?? 100,
    colors: pc.createColors(color),
  };
}
