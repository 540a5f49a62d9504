// Tokenised examples as bytes: how a store keeps them on disk and how threads hand them over. A record is
// the token ids (int32) and then the loss weights as runs of equal values (uint32 count, float32 weight):
// four bytes a token and a few more, because masks change rarely.
import type { EncodedExample } from './encode.ts';
import { holdOutHash } from './order.ts';

const runBytes = 8;

/** The numbers kept of each record, in this order. */
export const entryFields = 4;

export interface PackedExamples {
  /** Records one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [n × 4] of each record: its bytes, its tokens, its row in the file, its hold-out hash in [0, 1). */
  readonly entries: Float64Array<ArrayBuffer>;
}

/** Ends of runs of equal weights. */
function countRuns(weights: Float32Array): number {
  let runs = weights.length === 0 ? 0 : 1;
  for (let at = 1; at < weights.length; at += 1) if (weights[at] !== weights[at - 1]) runs += 1;
  return runs;
}

/** Gathers records; `take` hands them over and begins anew. */
export class ExamplePacker {
  private readonly seed: number;
  private examples: { example: EncodedExample; row: number; bytes: number }[] = [];
  private length = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  add(example: EncodedExample, row: number): void {
    const bytes = 4 * example.tokens.length + runBytes * countRuns(example.weights);
    this.examples.push({ example, row, bytes });
    this.length += bytes;
  }

  take(): PackedExamples {
    const bytes = new Uint8Array(this.length);
    const entries = new Float64Array(entryFields * this.examples.length);
    let at = 0;
    for (const [index, { example, row, bytes: size }] of this.examples.entries()) {
      writeRecord(bytes.subarray(at, at + size), example);
      const hash = holdOutHash(example.tokens, this.seed);
      entries.set([size, example.tokens.length, row, hash], entryFields * index);
      at += size;
    }
    this.examples = [];
    this.length = 0;
    return { bytes, entries };
  }
}

function writeRecord(into: Uint8Array<ArrayBuffer>, { tokens, weights }: EncodedExample): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  new Int32Array(into.buffer, into.byteOffset, tokens.length).set(tokens);
  let at = 4 * tokens.length;
  let start = 0;
  for (let end = 1; end <= weights.length; end += 1) {
    if (end < weights.length && weights[end] === weights[start]) continue;
    view.setUint32(at, end - start, true);
    view.setFloat32(at + 4, weights[start] ?? 0, true);
    at += runBytes;
    start = end;
  }
}

/** The example of a record; `bytes` must start at a multiple of four. */
export function readRecord(bytes: Uint8Array<ArrayBuffer>, tokenCount: number): EncodedExample {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens = new Int32Array(bytes.buffer, bytes.byteOffset, tokenCount);
  const weights = new Float32Array(tokenCount);
  let start = 0;
  for (let at = 4 * tokenCount; at < bytes.byteLength; at += runBytes) {
    const end = start + view.getUint32(at, true);
    weights.fill(view.getFloat32(at + 4, true), start, end);
    start = end;
  }
  return { tokens, weights };
}
