// Parquet as rows, decoded in a child process with bounded memory: the format lets a few bytes stand for
// billions of values, and no check before decoding finds all of them.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type RowProblem, splitLines } from './line-reader.ts';
import type { ParquetRow } from './parquet-rows.ts';

/** A decoder that says nothing for so long is in a file that never ends. */
const silenceMs = 120_000;

/** Heap of the decoder: real files unpack to some times their size, hostile ones to far more. */
const heapMebibytes = (fileBytes: number): number =>
  Math.round(512 + Math.min(4096, (16 * fileBytes) / 2 ** 20));

const entry = new URL('./parquet-worker.ts', import.meta.url);

type Message = ParquetRow | { readonly done: true } | { readonly failed: RowProblem };

const died: RowProblem = {
  reason: 'the Parquet file cannot be read: decoding it took too much memory or time',
  fix: 'write it again with smaller row groups, or as JSON lines',
};

/** Kills a silent child; `heard` starts the wait again. */
function watch(child: ChildProcess) {
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  let timer = setTimeout(kill, silenceMs);
  return {
    heard: () => {
      clearTimeout(timer);
      timer = setTimeout(kill, silenceMs);
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      kill();
    },
  };
}

/** Rows in order. A problem of the file as a whole comes last, without fields. */
export async function* readParquet(
  path: string,
  columns: readonly string[],
): AsyncGenerator<ParquetRow> {
  const { size } = await stat(path);
  const heap = `--max-old-space-size=${heapMebibytes(size)}`;
  const child = spawn(process.execPath, [heap, fileURLToPath(entry), path, ...columns], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  using watchdog = watch(child);
  const exited = once(child, 'exit');
  for await (const line of splitLines(child.stdout)) {
    watchdog.heard();
    if (line.problem) {
      yield line.problem;
      continue;
    }
    const message = parseMessage(line.text);
    if (message === null) break;
    if ('done' in message) return;
    yield 'failed' in message ? message.failed : message;
    if ('failed' in message) return;
  }
  await exited;
  yield died;
}

/** Null for a line that was cut when the child died. */
function parseMessage(text: string): Message | null {
  try {
    return JSON.parse(text) as Message;
  } catch {
    return null;
  }
}
