// One line of progress on stderr. On a terminal it redraws itself; elsewhere (a pipe, CI) it writes a
// plain line when something new is to be said, at most every few seconds. Knows no units of work.
import type { Io } from './io.ts';
import { clip } from './format.ts';

export interface Progress {
  /** Shows `text`; `fraction` 0..1 draws a bar before it. */
  update(text: string, fraction?: number | null): void;
  /** Ends the line, leaving nothing of it on a terminal. Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}

const barWidth = 24;
// Fewer redraws than the eye can follow cost nothing and keep slow terminals calm.
const redrawMs = 80;
const plainIntervalMs = 5_000;

/** A bar of eighths: 0.5 → "━━━━━━━━━━━━────────────". */
export function drawBar(fraction: number, width: number = barWidth): [done: string, left: string] {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return ['━'.repeat(full), '─'.repeat(width - full)];
}

function liveProgress(io: Io): Progress {
  let drawn = false;
  let closed = false;
  let last = 0;
  let pending: ReturnType<typeof setTimeout> | null = null;
  let latest: [string, number | null] = ['', null];

  const draw = () => {
    pending = null;
    last = Date.now();
    const [text, fraction] = latest;
    const { cyan, dim } = io.colors;
    let line = '  ';
    let room = io.columns() - 3;
    if (fraction !== null) {
      const [done, left] = drawBar(fraction);
      line += `${cyan(done)}${dim(left)}  `;
      room -= barWidth + 2;
    }
    io.err(`\r\u001b[2K${line}${clip(text, room)}`);
    drawn = true;
  };
  const close = () => {
    if (closed) return;
    closed = true;
    if (pending) clearTimeout(pending);
    if (drawn) io.err('\r\u001b[2K');
  };
  return {
    update(text, fraction = null) {
      if (closed) return;
      latest = [text, fraction];
      const wait = last + redrawMs - Date.now();
      if (wait <= 0) draw();
      else pending ??= setTimeout(draw, wait);
    },
    close,
    [Symbol.dispose]: close,
  };
}

function plainProgress(io: Io, intervalMs: number): Progress {
  let last = 0;
  let lastText = '';
  let closed = false;
  const close = () => {
    closed = true;
  };
  return {
    update(text, fraction = null) {
      if (closed || text === lastText || Date.now() - last < intervalMs) return;
      last = Date.now();
      lastText = text;
      const percent =
        fraction === null ? '' : `${String(Math.floor(fraction * 100)).padStart(3)} %  `;
      io.err(`  ${percent}${text}\n`);
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** Progress that suits the terminal. */
export function createProgress(io: Io, plainEveryMs: number = plainIntervalMs): Progress {
  return io.live ? liveProgress(io) : plainProgress(io, plainEveryMs);
}
