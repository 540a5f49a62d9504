// Chooses who encodes a file: threads cost the opening of a tokenizer each, so small files do without.
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { CorralError } from '@corral/contracts';
import { type EncoderOptions, openEncoder } from './open-encoder.ts';
import { type RowEncoder, inlineEncoder, threadedEncoder } from './row-encoder.ts';
import type { Encoder } from './encode.ts';

/** A large vocabulary takes seconds to open, in each thread; one thread encodes that much meanwhile. */
const threadedFrom = 32 * 2 ** 20;
/** One thread reads for all of them, and each holds a vocabulary: up to some 300 MB. */
const maxThreads = 4;

/**
 * For the file at `path`; an encoder that is open already may be given for small ones.
 * Throws CorralError `file_not_found`, and what opening the model's tokenizer throws.
 */
export async function openRowEncoder(
  path: string,
  options: EncoderOptions & { readonly encoder?: Encoder },
  threads: number | 'auto',
): Promise<RowEncoder> {
  const { encoder, ...plain } = options;
  const size = await sizeOf(path);
  if (size < threadedFrom) return inlineEncoder(encoder ?? (await openEncoder(plain)));
  const wanted = threads === 'auto' ? availableParallelism() : threads;
  return threadedEncoder(plain, Math.min(maxThreads, wanted));
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    throw new CorralError('file_not_found', { params: { path }, cause: error });
  }
}
