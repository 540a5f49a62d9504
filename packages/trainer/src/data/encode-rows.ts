// Rows in, tokenised examples and problems out: the part of reading data that costs time, as one function
// of plain values, so that it runs in this thread or in another and gives the same.
import type { DataReport, DataRowError } from '@corral/contracts';
import {
  type EncodedExample,
  type Encoder,
  conversationsOfPair,
  encodeExample,
  weighExample,
} from './encode.ts';
import type { Example } from './example.ts';
import type { DataFormat } from './formats.ts';
import { ExamplePacker, type PackedExamples } from './packed-examples.ts';
import type { RawRow } from './raw-rows.ts';
import { RowError, TooLongError } from './row-error.ts';
import { readRow, settledFormat } from './rows.ts';

export type PairRule = 'only' | 'never' | 'any';
type Preview = DataReport['preview'][number];

export interface RowsToEncode {
  readonly rows: readonly RawRow[];
  /** Null until a row has settled it. */
  readonly format: DataFormat | null;
  /** Whether rows must be preference pairs (method dpo) or may not be. */
  readonly pairs: PairRule;
  /** Rows to return rendered; a pair gives two, chosen first. */
  readonly preview: number;
  /** Problems to return in full. */
  readonly maxErrors: number;
  /** Of the hold-out hash. */
  readonly seed: number;
}

export interface EncodedRows {
  readonly format: DataFormat | null;
  readonly rows: number;
  readonly examples: PackedExamples;
  readonly lossTokens: number;
  readonly errors: readonly DataRowError[];
  readonly errorCount: number;
  readonly tooLong: { readonly rows: number; readonly longest: number; readonly dropped: number };
  readonly previewed: number;
  readonly previews: readonly Preview[];
}

/** The rendered example, cut where the loss mask changes. */
function previewOf(row: number, example: Example, encoder: Encoder): Preview[] {
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
function checkPairs(example: Example, pairs: PairRule): void {
  const isPair = example.kind === 'preference';
  if (isPair && pairs === 'never') {
    throw new RowError('it is a preference pair', 'train with method dpo, or give "messages"');
  }
  if (!isPair && pairs === 'only') {
    throw new RowError('it is no preference pair', 'give "prompt", "chosen" and "rejected"');
  }
}

/** What one row came to. */
type Outcome =
  | { readonly examples: readonly EncodedExample[]; readonly tooLong: number | null }
  | { readonly problem: RowError; readonly tooLong: number | null };

/** Encodes by the policy on length. */
function encodeByPolicy(example: Example, encoder: Encoder): Outcome {
  const { truncate = 'error' } = encoder;
  try {
    // Whole first: what is cut is counted, too.
    return { examples: encodeExample(example, { ...encoder, truncate: 'error' }), tooLong: null };
  } catch (error) {
    if (!(error instanceof TooLongError)) throw error;
    const { tokens: tooLong } = error;
    if (truncate === 'error') return { problem: error, tooLong };
    if (truncate === 'drop') return { examples: [], tooLong };
    return { examples: cut(example, encoder), tooLong };
  }
}

/** What fits; nothing when nothing to learn is left. */
function cut(example: Example, encoder: Encoder): EncodedExample[] {
  try {
    return encodeExample(example, encoder);
  } catch (error) {
    if (error instanceof TooLongError) return [];
    throw error;
  }
}

class Encoding {
  private readonly packer: ExamplePacker;
  private readonly errors: DataRowError[] = [];
  private readonly previews: Preview[] = [];
  private readonly tooLong = { rows: 0, longest: 0, dropped: 0 };
  private format: DataFormat | null;
  private errorCount = 0;
  private lossTokens = 0;
  private previewed = 0;
  private readonly request: RowsToEncode;
  private readonly encoder: Encoder;

  constructor(request: RowsToEncode, encoder: Encoder) {
    this.request = request;
    this.encoder = encoder;
    this.format = request.format;
    this.packer = new ExamplePacker(request.seed);
  }

  add(raw: RawRow): void {
    const row = readRow(raw, this.format);
    this.format ??= settledFormat(row);
    try {
      if (row.problem) throw new RowError(row.problem.reason, row.problem.fix);
      if (row.example) this.encode(row.row, row.example);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      this.refuse(row.row, error);
    }
  }

  finish(): EncodedRows {
    return {
      format: this.format,
      rows: this.request.rows.length,
      examples: this.packer.take(),
      lossTokens: this.lossTokens,
      errors: this.errors,
      errorCount: this.errorCount,
      tooLong: this.tooLong,
      previewed: this.previewed,
      previews: this.previews,
    };
  }

  private encode(row: number, example: Example): void {
    checkPairs(example, this.request.pairs);
    const outcome = encodeByPolicy(example, this.encoder);
    if (outcome.tooLong !== null) {
      this.tooLong.rows += 1;
      this.tooLong.longest = Math.max(this.tooLong.longest, outcome.tooLong);
    }
    if ('problem' in outcome) throw outcome.problem;
    if (outcome.examples.length === 0 && outcome.tooLong !== null) this.tooLong.dropped += 1;
    for (const encoded of outcome.examples) {
      for (const weight of encoded.weights) if (weight > 0) this.lossTokens += 1;
      this.packer.add(encoded, row);
    }
    if (this.previewed >= this.request.preview) return;
    this.previewed += 1;
    this.previews.push(...previewOf(row, example, this.encoder));
  }

  private refuse(row: number, { problem }: RowError): void {
    this.errorCount += 1;
    if (this.errors.length < this.request.maxErrors) this.errors.push({ row, ...problem });
  }
}

/** Encodes rows in order. */
export function encodeRows(request: RowsToEncode, encoder: Encoder): EncodedRows {
  const encoding = new Encoding(request, encoder);
  for (const row of request.rows) encoding.add(row);
  return encoding.finish();
}
