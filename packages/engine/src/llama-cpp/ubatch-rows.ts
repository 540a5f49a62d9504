// In which order llama.cpp computes the tokens of a batch: it cuts a batch into ubatches, and a row of an
// activation is a token of the current one. Follows llama-batch.cpp (split_simple, split_equal) and
// llama-kv-cache.cpp (init_batch) of the pinned release. Pure; knows sequences and outputs, no tokens.

/** Sequences by row: of all tokens, and of those whose logits are wanted (the last block computes these only). */
export interface UbatchRows {
  readonly tokens: readonly number[];
  readonly outputs: readonly number[];
}

export interface SplitOptions {
  readonly ubatchTokens: number;
  /** One cache for all sequences (`kv_unified`) keeps the order of the batch. */
  readonly unified: boolean;
}

/** The batch by index: which sequence a token belongs to, and whether its logits are wanted (1) or not (0). */
export interface BatchRows {
  readonly size: number;
  readonly sequence: ArrayLike<number>;
  readonly output: ArrayLike<number>;
}

function rowsOf(indices: readonly number[], { sequence, output }: BatchRows): UbatchRows {
  const at = (index: number): number => sequence[index] as number;
  return {
    tokens: indices.map(at),
    outputs: indices.filter((index) => output[index] === 1).map(at),
  };
}

function splitSimple(batch: BatchRows, ubatchTokens: number): UbatchRows[] {
  const ubatches: UbatchRows[] = [];
  for (let start = 0; start < batch.size; start += ubatchTokens) {
    const end = Math.min(batch.size, start + ubatchTokens);
    ubatches.push(
      rowsOf(
        Array.from({ length: end - start }, (_, i) => start + i),
        batch,
      ),
    );
  }
  return ubatches;
}

/** The tokens of each sequence that are not in a ubatch yet, by index in the batch. */
type Waiting = Map<number, number[]>;

function waitingTokens({ size, sequence }: BatchRows): Waiting {
  const waiting: Waiting = new Map();
  for (let index = 0; index < size; index++) {
    const indices = waiting.get(sequence[index] as number);
    if (indices) indices.push(index);
    else waiting.set(sequence[index] as number, [index]);
  }
  return waiting;
}

/** The sequences of the next ubatch: from the first token on in order of the batch, ids rising by one. */
function nextSequences(waiting: Waiting, ubatchTokens: number): number[] {
  let [sequence, [at]] = [...waiting].reduce((a, b) =>
    (b[1][0] as number) < (a[1][0] as number) ? b : a,
  ) as [number, [number]];
  const sequences: number[] = [];
  for (;;) {
    sequences.push(sequence);
    if (sequences.length > ubatchTokens) return sequences;
    const last = at;
    const next = waiting.get(++sequence)?.find((index) => index > last);
    if (next === undefined) return sequences;
    at = next;
  }
}

/** As many tokens of each of some sequences as all of them have and the ubatch holds. */
function splitEqual(batch: BatchRows, ubatchTokens: number): UbatchRows[] {
  const ubatches: UbatchRows[] = [];
  const waiting = waitingTokens(batch);
  while (waiting.size > 0) {
    const sequences = nextSequences(waiting, ubatchTokens);
    const queues = sequences.map((sequence) => waiting.get(sequence) ?? []);
    const shortest = Math.min(...queues.map((queue) => queue.length));
    const count = Math.min(shortest, Math.max(1, Math.floor(ubatchTokens / sequences.length)));
    ubatches.push(
      rowsOf(
        queues.flatMap((queue) => queue.splice(0, count)),
        batch,
      ),
    );
    for (const sequence of sequences)
      if (waiting.get(sequence)?.length === 0) waiting.delete(sequence);
  }
  return ubatches;
}

/** The ubatches of a batch, in the order they are computed. */
export function splitRows(batch: BatchRows, { ubatchTokens, unified }: SplitOptions): UbatchRows[] {
  return unified ? splitSimple(batch, ubatchTokens) : splitEqual(batch, ubatchTokens);
}
