// How the quickstart speaks: numbered stages, what was done with the time it took, and a live line
// while something is under way. Keeps the clock; knows no stage.
import { stripVTControlCharacters } from 'node:util';
import type { Context } from '../context.ts';
import { formatSeconds } from '../format.ts';
import { createProgress, type Progress } from '../progress.ts';

export interface Narrator {
  /** Starts a stage: its title, and its clock. */
  stage(title: string): void;
  /** Something succeeded, in the given seconds or in those since the last booking. */
  done(text: string, seconds?: number): void;
  /** Something to know, under what was done. */
  note(text: string): void;
  /** Something that did not go as wished. */
  warn(text: string): void;
  /** Lines as they are, indented. */
  block(text: string): void;
  /** Raw text, for streams. */
  write(text: string): void;
  /** A live line for something under way. */
  progress(): Progress;
  /** Books the time since the last booking, or since the stage began, under `name`. */
  book(name: string): void;
  readonly seconds: Readonly<Record<string, number>>;
  /** Columns a line may have. */
  readonly width: number;
  readonly indent: string;
}

const indent = '   ';
const maxWidth = 100;

/** Seconds with the precision that is worth keeping. */
export const roundSeconds = (milliseconds: number): number => Math.round(milliseconds / 10) / 100;

export function createNarrator(
  { io, json }: Pick<Context, 'io' | 'json'>,
  now: () => number = () => performance.now(),
): Narrator {
  const { bold, green, yellow, dim, cyan } = io.colors;
  // With --json stdout belongs to the machine.
  const write = (text: string) => (json ? io.err(text) : io.out(text));
  const seconds: Record<string, number> = {};
  let stages = 0;
  let booked = now();
  const width = Math.min(maxWidth, io.columns());
  const line = (mark: string, text: string, paint = (part: string) => part) => {
    const lines = text.split('\n').flatMap((part) => wrapWords(part, width - indent.length - 2));
    write(`${indent}${mark} ${lines.map(paint).join(`\n${indent}  `)}\n`);
  };
  return {
    stage(title) {
      stages += 1;
      booked = now();
      write(`\n${cyan(bold(String(stages)))}  ${bold(title)}\n`);
    },
    done(text, took = (now() - booked) / 1000) {
      line(green('✓'), `${text}  ${dim(formatSeconds(took))}`);
    },
    note: (text) => line(' ', text, dim),
    warn: (text) => line(yellow('!'), text),
    block: (text) => write(`${text.replace(/^(?=.)/gm, `${indent}  `)}\n`),
    write,
    progress: () => createProgress(io),
    book(name) {
      const time = now();
      seconds[name] = roundSeconds((seconds[name] ?? 0) * 1000 + time - booked);
      booked = time;
    },
    seconds,
    width,
    indent,
  };
}

/** Breaks between words at `width` columns; colour codes take none. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let current: string | null = null;
  for (const word of text.split(' ')) {
    const joined: string = current === null ? word : `${current} ${word}`;
    if (current === null || stripVTControlCharacters(joined).length <= width) current = joined;
    else {
      lines.push(current);
      current = word;
    }
  }
  return current === null ? lines : [...lines, current];
}

/** Writes streamed text word by word within the width; later lines start under the first. */
export function createWrapper(
  write: (text: string) => void,
  { width, hanging, start }: { width: number; hanging: string; start: number },
): { push(text: string): void; end(): void } {
  let column = start;
  let word = '';
  let fresh = true;
  const flush = () => {
    if (word === '') return;
    const room = column + word.length + (fresh ? 0 : 1);
    if (!fresh && room > width) {
      write(`\n${hanging}${word}`);
      column = hanging.length + word.length;
    } else {
      write(fresh ? word : ` ${word}`);
      column = room;
    }
    fresh = false;
    word = '';
  };
  return {
    push(text) {
      for (const character of text) {
        if (/\s/.test(character)) flush();
        else word += character;
      }
    },
    end() {
      flush();
      write('\n');
    },
  };
}
