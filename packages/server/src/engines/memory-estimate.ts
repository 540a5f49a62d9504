// What a base will take before it is loaded, from its header: weights, keys and values, logits, scratch.
// An estimate on the safe side; serving corrects it by what it measures. Opens the file, loads nothing.
import type { EngineOptions } from '@corral/contracts';
import { metadataNumber, metadataString, openFileSource, readGguf } from '@corral/formats';
import type { GgufFile } from '@corral/formats';

/** Node, llama.cpp's libraries and the tokenizer's tables: measured 95 MiB with a vocabulary of 49,152. */
const processBytes = 96 * 2 ** 20;
/** Rows of logits that an engine reserves for scoring (loaded-model.ts of the engine). */
const outputRows = 64;
const float16Bytes = 2;
const float32Bytes = 4;

interface MemoryEstimate {
  readonly bytes: number;
  /** Of these, what fills only as prompts come: the prefix cache. */
  readonly growing: number;
}

/** A number of the header; of a list with one a layer, the largest. */
function largest({ metadata }: GgufFile, key: string): number {
  const found = metadata.get(key);
  if (found?.type !== 'array') return metadataNumber(metadata, key) ?? 0;
  const { items } = found.value;
  return Array.from(items as ArrayLike<unknown>, Number).reduce((a, b) => Math.max(a, b), 0);
}

/**
 * Source of the formulas: llama.cpp's llama_kv_cache (one float16 key and value a layer, position and
 * sequence) and its graph reserve (a batch of activations and logits).
 */
export function estimateFromHeader(file: GgufFile, options: EngineOptions): MemoryEstimate {
  const { metadata } = file;
  const architecture = metadataString(metadata, 'general.architecture') ?? '';
  const number = (key: string): number => largest(file, `${architecture}.${key}`);
  const [layers, heads, width] = [
    number('block_count'),
    number('attention.head_count'),
    number('embedding_length'),
  ];
  const headWidth = heads > 0 ? width / heads : 0;
  const keyValueHeads = number('attention.head_count_kv') || heads;
  const keyWidth = number('attention.key_length') || headWidth;
  const valueWidth = number('attention.value_length') || headWidth;
  const trained = metadataNumber(metadata, `${architecture}.context_length`) ?? options.n_ctx;
  const tokens = Math.min(options.n_ctx, trained) * options.n_seq_max;
  const cache = tokens * layers * keyValueHeads * (keyWidth + valueWidth) * float16Bytes;
  const vocabulary = file.tensors.get('token_embd.weight')?.shape[0] ?? 0;
  const outputs = Math.max(options.n_seq_max, Math.min(outputRows, options.n_batch));
  const scratch =
    options.n_batch * float32Bytes * (vocabulary + 4 * width + 2 * number('feed_forward_length'));
  let weights = 0;
  for (const { byteLength } of file.tensors.values()) weights += byteLength;
  const logits = 2 * outputs * vocabulary * float32Bytes;
  const growing = options.prefix_cache_bytes;
  return { bytes: processBytes + weights + cache + logits + scratch + growing, growing };
}

export interface MemoryPlan extends MemoryEstimate {
  /** As asked for, with fewer sequences where all of them would not fit. */
  readonly options: EngineOptions;
}

/** Fewer streams side by side are better than none: sequences are halved until the base fits. */
export function planMemory(file: GgufFile, wanted: EngineOptions, limitBytes: number): MemoryPlan {
  const options = { ...wanted };
  for (;;) {
    const estimate = estimateFromHeader(file, options);
    if (estimate.bytes <= limitBytes || options.n_seq_max === 1) return { ...estimate, options };
    options.n_seq_max = Math.floor(options.n_seq_max / 2);
  }
}

/** A file that cannot be read is the engine's to refuse, so it is given the least. */
export async function readMemoryPlan(
  path: string,
  options: EngineOptions,
  limitBytes: number,
): Promise<MemoryPlan> {
  try {
    await using source = await openFileSource(path);
    return planMemory(await readGguf(source), options, limitBytes);
  } catch {
    return { bytes: processBytes, growing: 0, options };
  }
}
