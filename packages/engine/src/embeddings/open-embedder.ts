// The embedder of a loaded model: how large its context is, and what that costs in memory.
import { CorralError } from '@corral/contracts';
import type { NativeModel } from '../llama-cpp/native-types.ts';
import { Embedder, type EmbedderOptions } from './embedder.ts';

/** Tokens of one step. Each has a row of logits that nobody reads: llama.cpp computes it all the same. */
const batchTokens = 256;
/** Short prompts computed side by side. */
const sequences = 16;

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
  const sharedTokens = Math.max(contextTokens, batchTokens);
  return new Embedder({
    ...rest,
    width: info.embeddingWidth,
    modelPooling: info.pooling,
    openContext: () => {
      const rows = batchTokens * (2 * vocabulary.size + info.embeddingWidth) * 4;
      const needed = info.cacheBytesPerToken * sharedTokens + rows;
      const available = process.availableMemory();
      if (needed > available)
        throw new CorralError('memory_too_small', {
          params: { needed: gibibytes(needed), available: gibibytes(available) },
          param: 'input',
        });
      return model.createContext({
        sequenceTokens: contextTokens,
        sharedTokens,
        sequences,
        batchTokens,
        outputs: batchTokens,
        threads,
        embeddings: true,
      });
    },
  });
}
