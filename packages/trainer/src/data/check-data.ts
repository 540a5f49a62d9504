// Looks at every row of a training file before anything starts: what cannot be used and why, all at
// once, and how many tokens the rest has. One pass, nothing kept but counters, errors and a preview.
import { createHash } from 'node:crypto';
import { CorralError, type DataReport, type DataRowError, type RunConfig } from '@corral/contracts';
import type { EncodedRows, PairRule, RowsToEncode } from './encode-rows.ts';
import type { DataFormat } from './formats.ts';
import { type PackedExamples, entryFields } from './packed-examples.ts';
import { type RawRow, readRawRows } from './raw-rows.ts';
import type { RowEncoder } from './row-encoder.ts';

/** A person corrects twenty rows at a time; the count tells of the rest. */
const maxReportedErrors = 20;

/** Rows are handed to the encoder in parts of about this size. */
const partRows = 512;
const partCharacters = 1 << 18;

export interface CheckDataOptions {
  readonly format?: RunConfig['data']['format'];
  /** Whether rows must be preference pairs (method dpo) or may not be; default: any. */
  readonly pairs?: PairRule;
  /** Rows to return rendered; a pair gives two, chosen first. */
  readonly preview?: number;
  /** What becomes of longer rows, for the report; the encoder decides. */
  readonly truncate?: RunConfig['data']['truncate'];
  /** Of the hold-out hashes. */
  readonly seed?: number;
  /** Called with the examples that can be used, in order. */
  readonly onExamples?: (examples: PackedExamples) => void;
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

/** The answers of the encoder, added up. */
class Findings {
  private readonly lengths = new LengthHistogram();
  private readonly errors: DataRowError[] = [];
  private readonly previews: DataReport['preview'][number][] = [];
  private readonly tooLong = { rows: 0, longest: 0, dropped: 0 };
  private rows = 0;
  private errorCount = 0;
  private lossTokens = 0;
  format: DataFormat | null;
  previewed = 0;

  constructor(format: DataFormat | null) {
    this.format = format;
  }

  add(found: EncodedRows): void {
    const { entries } = found.examples;
    for (let at = 1; at < entries.length; at += entryFields) this.lengths.add(entries[at] ?? 0);
    this.format ??= found.format;
    this.rows += found.rows;
    this.errorCount += found.errorCount;
    this.lossTokens += found.lossTokens;
    this.errors.push(...found.errors.slice(0, maxReportedErrors - this.errors.length));
    this.previewed += found.previewed;
    this.previews.push(...found.previews);
    this.tooLong.rows += found.tooLong.rows;
    this.tooLong.dropped += found.tooLong.dropped;
    this.tooLong.longest = Math.max(this.tooLong.longest, found.tooLong.longest);
  }

  report(file: Pick<DataReport, 'path' | 'sha256'> & { container: string }, policy: Policy) {
    const { count, total, max } = this.lengths;
    const mean = count === 0 ? 0 : total / count;
    return {
      path: file.path,
      format: this.format ?? 'unknown',
      container: file.container,
      rows: this.rows,
      examples: count,
      tokens: { total, mean, max, p95: this.lengths.percentile(0.95) },
      loss_tokens: this.lossTokens,
      ...(this.tooLong.rows > 0 && { too_long: { ...this.tooLong, policy } }),
      sha256: file.sha256,
      errors: this.errors,
      error_count: this.errorCount,
      preview: this.previews,
    } satisfies DataReport;
  }
}

type Policy = RunConfig['data']['truncate'];

const sizeOf = (raw: RawRow): number =>
  'text' in raw ? raw.text.length : 'example' in raw ? raw.example.text.length : 256;

/** Rows in parts that are worth a message. */
async function* inParts(rows: AsyncIterable<RawRow>): AsyncGenerator<RawRow[]> {
  let part: RawRow[] = [];
  let size = 0;
  for await (const row of rows) {
    part.push(row);
    size += sizeOf(row);
    if (part.length < partRows && size < partCharacters) continue;
    yield part;
    part = [];
    size = 0;
  }
  if (part.length > 0) yield part;
}

/** Reads and judges the whole file. Bad rows are in the report, not thrown; a missing file is. */
export async function checkData(
  path: string,
  encoder: RowEncoder,
  options: CheckDataOptions = {},
): Promise<DataReport> {
  const { format = 'auto', pairs = 'any', preview = 0, truncate = 'error', seed = 0 } = options;
  const hash = createHash('sha256');
  let bytes = 0;
  const onChunk = (chunk: Uint8Array): void => {
    hash.update(chunk);
    bytes += chunk.length;
    options.onProgress?.(bytes);
  };
  const file = await readRawRows(path, { format, onChunk });
  const findings = new Findings(format === 'auto' ? null : format);
  const open: Promise<EncodedRows>[] = [];
  const settle = async (): Promise<void> => {
    const answer = await open.shift();
    if (!answer) return;
    findings.add(answer);
    options.onExamples?.(answer.examples);
  };
  try {
    for await (const rows of inParts(file.rows)) {
      const left = preview - findings.previewed;
      const request = { pairs, preview: left, maxErrors: maxReportedErrors, seed };
      const whole: RowsToEncode = { ...request, rows, format: findings.format };
      open.push(encoder.encode(whole));
      // What a part finds out, the format and previews, the next ones must know.
      const mustWait = findings.format === null || left > 0;
      while (open.length > (mustWait ? 0 : encoder.width - 1)) await settle();
    }
    while (open.length > 0) await settle();
  } finally {
    await Promise.allSettled(open);
  }
  const { container } = file;
  return findings.report({ path, container, sha256: hash.digest('hex') }, truncate);
}

/** Throws CorralError `data_empty` or `data_invalid` when the report says that a run must not start. */
export function requireUsable(report: DataReport): void {
  const { path, rows, examples, errors, error_count, too_long } = report;
  if (error_count > 0) {
    const lines = errors.map(({ row, reason, fix }) => `row ${row}: ${reason} — fix: ${fix}`);
    const more = error_count - errors.length;
    if (more > 0) lines.push(`... and ${more} more`);
    if (too_long) {
      lines.push(
        `${too_long.rows} rows are longer than the context, the longest has ${too_long.longest} tokens`,
      );
    }
    throw new CorralError('data_invalid', {
      params: { error_count, rows, details: lines.join('\n') },
      param: 'training_file',
      details: { errors, error_count, rows },
    });
  }
  if (examples === 0)
    throw new CorralError('data_empty', { params: { path }, param: 'training_file' });
}
