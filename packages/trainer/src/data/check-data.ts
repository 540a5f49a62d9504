// Looks at every row of a training file before anything starts: what cannot be used and why, all at
// once, and how many tokens the rest has. One pass, nothing kept but counters, errors and a preview.
import { createHash } from 'node:crypto';
import { CorralError, type DataReport, type DataRowError, type RunConfig } from '@corral/contracts';
import type { Example } from './example.ts';
import {
  type EncodedExample,
  type Encoder,
  conversationsOfPair,
  encodeExample,
  weighExample,
} from './encode.ts';
import { readRawRows } from './raw-rows.ts';
import { type Row, type RowFormat, readRow, settledFormat } from './rows.ts';
import { RowError } from './row-error.ts';

/** A person corrects twenty rows at a time; the count tells of the rest. */
const maxReportedErrors = 20;

export interface CheckDataOptions {
  readonly format?: RunConfig['data']['format'];
  /** Whether rows must be preference pairs (method dpo) or may not be; default: any. */
  readonly pairs?: 'only' | 'never' | 'any';
  /** Rows to return rendered; a pair gives two, chosen first. */
  readonly preview?: number;
  /** Called for each example that can be used, in order. */
  readonly onExample?: (example: EncodedExample, row: number) => void;
  /** Bytes read so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** Lengths seen, for mean, maximum and percentile, without keeping one number an example. */
class LengthHistogram {
  private readonly counts = new Map<number, number>();
  count = 0;
  total = 0;
  max = 0;

  add(length: number): void {
    this.counts.set(length, (this.counts.get(length) ?? 0) + 1);
    this.count += 1;
    this.total += length;
    this.max = Math.max(this.max, length);
  }

  percentile(share: number): number {
    let left = Math.ceil(this.count * share);
    for (const [length, count] of [...this.counts].toSorted((a, b) => a[0] - b[0])) {
      left -= count;
      if (left <= 0) return length;
    }
    return this.max;
  }
}

/** The rendered example, cut where the loss mask changes. */
function previewOf(row: number, example: Example, encoder: Encoder) {
  const shown = example.kind === 'preference' ? conversationsOfPair(example) : [example];
  return shown.map((conversation) => {
    const segments: { text: string; loss: boolean }[] = [];
    for (const { text, weight } of weighExample(conversation, encoder)) {
      const last = segments.at(-1);
      if (last && last.loss === weight > 0) last.text += text;
      else segments.push({ text, loss: weight > 0 });
    }
    return { row, segments };
  });
}

/** Pairs train with method dpo and nothing else does. Throws RowError. */
function checkPairs(example: Example, pairs: NonNullable<CheckDataOptions['pairs']>): void {
  const isPair = example.kind === 'preference';
  if (isPair && pairs === 'never') {
    throw new RowError('it is a preference pair', 'train with method dpo, or give "messages"');
  }
  if (!isPair && pairs === 'only') {
    throw new RowError('it is no preference pair', 'give "prompt", "chosen" and "rejected"');
  }
}

/** Reads and judges the whole file. Bad rows are in the report, not thrown; a missing file is. */
export async function checkData(
  path: string,
  encoder: Encoder,
  { format = 'auto', pairs = 'any', preview = 0, onExample, onProgress }: CheckDataOptions = {},
): Promise<DataReport> {
  const hash = createHash('sha256');
  const lengths = new LengthHistogram();
  const errors: DataRowError[] = [];
  const previews: DataReport['preview'][number][] = [];
  let previewed = 0;
  let found: RowFormat = format === 'auto' ? 'unknown' : format;
  let rows = 0;
  let errorCount = 0;
  let lossTokens = 0;
  let bytes = 0;
  const refuse = (problem: DataRowError): void => {
    errorCount += 1;
    if (errors.length < maxReportedErrors) errors.push(problem);
  };
  const use = (row: Row): void => {
    if (!row.example) return refuse({ row: row.row, reason: '', fix: '', ...row.problem });
    checkPairs(row.example, pairs);
    for (const example of encodeExample(row.example, encoder)) {
      lengths.add(example.tokens.length);
      for (const weight of example.weights) if (weight > 0) lossTokens += 1;
      onExample?.(example, row.row);
    }
    if (previewed >= preview) return;
    previewed += 1;
    previews.push(...previewOf(row.row, row.example, encoder));
  };
  const onChunk = (chunk: Uint8Array): void => {
    hash.update(chunk);
    bytes += chunk.length;
    onProgress?.(bytes);
  };
  const file = await readRawRows(path, { format, onChunk });
  for await (const raw of file.rows) {
    rows += 1;
    const row = readRow(raw, found === 'unknown' ? null : found);
    found = settledFormat(row) ?? found;
    try {
      use(row);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      refuse({ row: row.row, ...error.problem });
    }
  }
  const { count, total, max } = lengths;
  return {
    path,
    format: found,
    container: file.container,
    rows,
    examples: count,
    tokens: { total, mean: count === 0 ? 0 : total / count, max, p95: lengths.percentile(0.95) },
    loss_tokens: lossTokens,
    sha256: hash.digest('hex'),
    errors,
    error_count: errorCount,
    preview: previews,
  };
}

/** Throws CorralError `data_empty` or `data_invalid` when the report says that a run must not start. */
export function requireUsable({ path, rows, examples, errors, error_count }: DataReport): void {
  if (error_count > 0) {
    const lines = errors.map(({ row, reason, fix }) => `row ${row}: ${reason} — fix: ${fix}`);
    const more = error_count - errors.length;
    if (more > 0) lines.push(`... and ${more} more`);
    throw new CorralError('data_invalid', {
      params: { error_count, rows, details: lines.join('\n') },
      param: 'training_file',
      details: { errors, error_count, rows },
    });
  }
  if (examples === 0)
    throw new CorralError('data_empty', { params: { path }, param: 'training_file' });
}
