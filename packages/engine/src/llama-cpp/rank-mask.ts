// Different adapters in one decode. The weights of several adapters lie side by side in one "stack"
// (native-stack.ts); llama.cpp computes A·x for all of their ranks, and this, its evaluation callback, clears
// for each row the ranks that are not its sequence's own, before B is applied. A stop costs 3 to 5 µs.
// Nothing may be thrown through native code: failures are kept.
import type { NativeTensors } from './native-tensors.ts';
import type { RankRange } from './stack-types.ts';
import type { UbatchRows } from './ubatch-rows.ts';

/** What the callback must know of a stack. */
export interface MaskedStack {
  readonly ranks: number;
  /** Told of each tensor a node reads first; true when that is the A of a target. */
  meets(tensor: number): boolean;
  /** Every tensor of the stack has been met. */
  readonly complete: boolean;
}

export interface RankMask {
  /** For `cb_eval`: asks before a node is computed, else tells that it has been. */
  evaluate(tensor: number, ask: boolean): boolean;
  /** The stack of the following decodes and the ranks of each sequence (null = none); null = clear nothing. */
  use(stack: MaskedStack | null, ranks: readonly (RankRange | null)[] | null): void;
  /** Before a decode: the rows it will compute; asked for only when some are to be cleared. */
  begin(ubatches: () => readonly UbatchRows[]): void;
  /** After a decode: what was not as expected, null when all went well. */
  end(): string | null;
}

/** Floats to clear in a product [rows, width]: pairs of start and end, neighbours joined. */
export function clearedSpans(
  sequences: readonly number[],
  ranks: readonly (RankRange | null)[],
  width: number,
): number[] {
  const spans: number[] = [];
  let from = 0;
  for (const [row, sequence] of sequences.entries()) {
    const own = ranks[sequence];
    if (!own) continue;
    const start = row * width;
    if (start + own.from > from) spans.push(from, start + own.from);
    from = start + own.to;
  }
  const end = sequences.length * width;
  if (end > from) spans.push(from, end);
  return spans;
}

interface UbatchSpans {
  readonly tokens: number;
  readonly outputs: number;
  readonly tokenSpans: readonly number[];
  readonly outputSpans: readonly number[];
}

class Mask implements RankMask {
  #stack: MaskedStack | null = null;
  #ranks: readonly (RankRange | null)[] | null = null;
  #ubatches: readonly UbatchSpans[] = [];
  /** The ubatch that is computed; -1 before the first stop. */
  #current = -1;
  /** The A of the first stop of a ubatch: when it is met again, the next one has begun. */
  #first = 0;
  #failure: string | null = null;
  readonly #tensors: NativeTensors;

  constructor(tensors: NativeTensors) {
    this.#tensors = tensors;
  }

  use(stack: MaskedStack | null, ranks: readonly (RankRange | null)[] | null): void {
    this.#stack = stack;
    this.#ranks = ranks;
  }

  begin(ubatches: () => readonly UbatchRows[]): void {
    this.#current = -1;
    this.#first = 0;
    this.#failure = null;
    const ranks = this.#ranks;
    const width = this.#stack?.ranks ?? 0;
    this.#ubatches = ranks
      ? ubatches().map(({ tokens, outputs }) => ({
          tokens: tokens.length,
          outputs: outputs.length,
          tokenSpans: clearedSpans(tokens, ranks, width),
          outputSpans: clearedSpans(outputs, ranks, width),
        }))
      : [];
  }

  end(): string | null {
    const unseen = this.#ubatches.length - 1 - this.#current;
    if (this.#ubatches.length > 0 && unseen !== 0)
      this.#failure ??= `${unseen} ubatches were not computed as foreseen`;
    return this.#failure;
  }

  evaluate(tensor: number, ask: boolean): boolean {
    const stack = this.#stack;
    if (!stack || (!this.#ranks && stack.complete)) return !ask;
    try {
      const source = this.#tensors.firstSource(tensor);
      if (ask) return stack.meets(source) && this.#ranks !== null;
      this.#clear(tensor, source, stack.ranks);
    } catch (error) {
      this.#failure ??= String(error);
    }
    return true;
  }

  #clear(tensor: number, source: number, width: number): void {
    if (this.#first === 0 || source === this.#first) {
      this.#first = source;
      this.#current++;
    }
    const ubatch = this.#ubatches[this.#current];
    const product = this.#tensors.floats(tensor);
    const spans =
      product?.rows === ubatch?.tokens
        ? ubatch?.tokenSpans
        : product?.rows === ubatch?.outputs
          ? ubatch?.outputSpans
          : undefined;
    if (!product || !spans || product.columns !== width) {
      this.#failure ??= `a product has ${product?.rows} rows of ${product?.columns}`;
      return;
    }
    const { values } = product;
    for (let i = 0; i < spans.length; i += 2) values.fill(0, spans[i], spans[i + 1]);
  }
}

export const createRankMask = (tensors: NativeTensors): RankMask => new Mask(tensors);
