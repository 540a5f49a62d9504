// How much of the cache of keys and values is made: room for every sequence of its own where memory allows
// that (it is faster), one cache for all of them where it does not. Pure: it is told what memory there is.
import { CorralError, type EngineOptions } from '@corral/contracts';

/** What of the free memory the cache may take before sequences share one. */
const ownShare = 0.5;
/** Sequences of a shared cache for each that runs: the others keep prompts for later. */
const idleFactor = 2;
/** LLAMA_MAX_SEQ. */
const mostSequences = 256;

export interface ContextSizeInput {
  readonly options: Pick<EngineOptions, 'n_ctx' | 'n_seq_max' | 'n_kv'>;
  readonly bytesPerToken: number;
  /** Beside the cache: logits and what is computed with. */
  readonly otherBytes: number;
  readonly availableBytes: number;
}

export interface ContextSize {
  readonly sequences: number;
  /** Absent: each sequence has `n_ctx` tokens of its own. */
  readonly sharedTokens?: number;
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Throws CorralError `memory_too_small` when not even one sequence fits. */
export function chooseContextSize(input: ContextSizeInput): ContextSize {
  const { options, bytesPerToken, otherBytes, availableBytes } = input;
  const { n_ctx, n_seq_max, n_kv } = options;
  const own = n_ctx * n_seq_max;
  const fitting = Math.floor((availableBytes * ownShare - otherBytes) / bytesPerToken);
  const tokens = n_kv > 0 ? Math.max(n_ctx, n_kv) : Math.max(n_ctx, Math.min(own, fitting));
  const needed = Math.min(tokens, own) * bytesPerToken + otherBytes;
  if (needed > availableBytes)
    throw new CorralError('memory_too_small', {
      params: { needed: gibibytes(needed), available: gibibytes(availableBytes) },
      param: 'n_ctx',
    });
  if (tokens >= own) return { sequences: n_seq_max };
  return { sequences: Math.min(mostSequences, idleFactor * n_seq_max), sharedTokens: tokens };
}
