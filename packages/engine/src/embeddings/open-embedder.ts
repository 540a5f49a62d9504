// The embedder of a loaded model: how large its contexts are, and what that costs in memory.
import { CorralError } from '@corral/contracts';
import type { ContextOptions, NativeModel } from '../llama-cpp/native-types.ts';
import { Embedder, type EmbedderOptions, type EmbeddingContext } from './embedder.ts';

/** Tokens of one step. Each has a row of logits that nobody reads: llama.cpp computes it all the same. */
const batchTokens = 256;
/** Short prompts computed side by side. */
const sequences = 8;
/** A longer prompt is large enough to be computed by itself at full speed. */
const shortTokens = 128;
/** llama.cpp makes no smaller cache for a sequence. */
const smallestCache = 256;

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export interface OpenEmbedderOptions extends Pick<EmbedderOptions, 'adapter' | 'finish' | 'fail'> {
  readonly model: NativeModel;
  /** Tokens of the longest prompt. */
  readonly contextTokens: number;
  readonly threads: number;
}

export function openEmbedder({
  model,
  contextTokens,
  threads,
  ...rest
}: OpenEmbedderOptions): Embedder {
  const { info, vocabulary } = model;
  const shapes: Record<EmbeddingContext, Pick<ContextOptions, 'sequences' | 'sequenceTokens'>> = {
    short: { sequences, sequenceTokens: smallestCache },
    long: { sequences: 1, sequenceTokens: contextTokens },
  };
  return new Embedder({
    ...rest,
    width: info.embeddingWidth,
    modelPooling: info.pooling,
    shortTokens: Math.min(contextTokens, shortTokens),
    openContext: (kind) => {
      const shape = shapes[kind];
      const rows = batchTokens * (2 * vocabulary.size + info.embeddingWidth) * 4;
      const tokens = shape.sequences * shape.sequenceTokens;
      const needed = info.cacheBytesPerToken * tokens + rows;
      const available = process.availableMemory();
      if (needed > available)
        throw new CorralError('memory_too_small', {
          params: { needed: gibibytes(needed), available: gibibytes(available) },
          param: 'input',
        });
      return model.createContext({
        ...shape,
        batchTokens,
        outputs: batchTokens,
        threads,
        embeddings: true,
      });
    },
  });
}
