// Process entry of parquet-reader.ts: the rows of one Parquet file as JSON lines on stdout, so that a file
// that makes the decoder take all memory or never end takes this process and no other.
//   parquet-worker.ts FILE COLUMN...   one {"fields"} or {"reason","fix"} a line; {"failed"} or {"done"} last
import { once } from 'node:events';
import { readParquetRows } from './parquet-rows.ts';
import { RowError } from './row-error.ts';

/** Lines are written together: one system call a row would cost more than the row. */
const flushLength = 1 << 16;

const [path = '', ...columns] = process.argv.slice(2);
let waiting = '';

async function write(value: unknown): Promise<void> {
  waiting += `${JSON.stringify(value)}\n`;
  if (waiting.length >= flushLength) await flush();
}

async function flush(): Promise<void> {
  const text = waiting;
  waiting = '';
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

// The reader is gone: nobody needs the rest.
process.stdout.on('error', () => process.exit(0));
try {
  for await (const row of readParquetRows(path, new Set(columns))) await write(row);
  await write({ done: true });
} catch (error) {
  if (!(error instanceof RowError)) throw error;
  await write({ failed: error.problem });
}
await flush();
