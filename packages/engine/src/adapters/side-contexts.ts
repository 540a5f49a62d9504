// How many sequences contexts beside the main one may hold together, and what such a context is. Pure but for
// opening: it is told what memory there is.
import type { ContextOptions, NativeContext, NativeModel } from '../llama-cpp/native-types.ts';

/** Of the free memory; the rest is for prompts, stacks of other bases, and the rest of the machine. */
const memoryShare = 0.25;
/** A stream's token, and guesses of the next. */
const outputsPerSequence = 16;
/** Scratch of a token in a batch, in numbers for each of the model's width: measured 5 to 7 at 135M and 1.1B. */
const scratchPerWidth = 8;
const float32Bytes = 4;

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

export interface SideContextPlan {
  /** Sequences of all side contexts together. */
  readonly maxSeats: number;
  /** Bytes of contexts with so many sequences in all. */
  bytes(contexts: number, sequences: number): number;
  options(sequences: number): ContextOptions;
}

type ModelSize = Pick<NativeModel, 'info'> & {
  readonly vocabulary: Pick<NativeModel['vocabulary'], 'size'>;
};

type MainContext = Pick<
  NativeContext,
  'sequenceTokens' | 'sequences' | 'outputs' | 'sharedTokens' | 'portable'
> & { readonly batch: Pick<NativeContext['batch'], 'capacity'> };

export interface SideContextsInput {
  readonly model: ModelSize;
  readonly main: MainContext;
  readonly threads: number;
  readonly availableBytes: number;
}

/** A string says why there can be none. */
export function planSideContexts({
  model: { info, vocabulary },
  main,
  threads,
  availableBytes,
}: SideContextsInput): SideContextPlan | string {
  if (main.sharedTokens !== null)
    return 'memory is short: all sequences share one cache, and no other context fits beside it';
  if (!main.portable) return 'keys and values cannot be carried from one context to another';
  const sequenceBytes =
    main.sequenceTokens * info.cacheBytesPerToken +
    2 * outputsPerSequence * vocabulary.size * float32Bytes;
  const contextBytes = main.batch.capacity * info.embeddingWidth * scratchPerWidth * float32Bytes;
  const budget = availableBytes * memoryShare;
  // Each with a context of its own; the main context serves one adapter.
  const fitting = Math.floor(budget / (sequenceBytes + contextBytes));
  if (fitting === 0)
    return `another context takes ${mebibytes(sequenceBytes + contextBytes)}, and ${mebibytes(budget)} may be taken`;
  return {
    maxSeats: Math.min(main.sequences, fitting),
    bytes: (contexts, sequences) => contexts * contextBytes + sequences * sequenceBytes,
    options: (sequences) => ({
      sequenceTokens: main.sequenceTokens,
      batchTokens: main.batch.capacity,
      threads,
      sequences,
      outputs: Math.min(main.outputs, outputsPerSequence * sequences),
    }),
  };
}
