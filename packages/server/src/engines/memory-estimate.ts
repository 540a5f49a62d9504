// What a base will take before it is loaded, from its header: weights, keys and values, logits, scratch.
// An estimate on the safe side; serving corrects it by what it measures. Opens the file, loads nothing.
import type { EngineOptions } from '@corral/contracts';
import { metadataNumber, metadataString, openFileSource, readGguf } from '@corral/formats';
import type { GgufFile } from '@corral/formats';

/** Node, llama.cpp's libraries, the tokenizer's tables: measured 100 to 125 MiB with a vocabulary of 49,152. */
const processBytes = 128 * 2 ** 20;
/** Rows of logits that an engine reserves for scoring (loaded-model.ts of the engine). */
const outputRows = 64;
const float16Bytes = 2;
const float32Bytes = 4;

/** A number of the header; of a list with one a layer, the largest. */
function largest({ metadata }: GgufFile, key: string): number {
  const found = metadata.get(key);
  if (found?.type !== 'array') return metadataNumber(metadata, key) ?? 0;
  const { items } = found.value;
  return Array.from(items as ArrayLike<unknown>, Number).reduce((a, b) => Math.max(a, b), 0);
}

/** Tokens that the cache holds: room for each sequence, or, when they share it, what `n_kv` says. */
function cachedTokens(context: number, { n_seq_max, n_kv }: EngineOptions): number {
  const own = context * n_seq_max;
  return n_kv === 0 ? own : Math.min(own, Math.max(context, n_kv));
}

interface Shape {
  /** Tokens that one sequence can hold. */
  readonly context: number;
  readonly bytesPerToken: number;
  /** All but the cache of keys and values. */
  readonly fixedBytes: number;
}

/**
 * Source of the formulas: llama.cpp's llama_kv_cache (one float16 key and value a layer, position and
 * sequence) and its graph reserve (a batch of activations and logits).
 */
function shapeOf(file: GgufFile, options: EngineOptions): Shape {
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
  const vocabulary = file.tensors.get('token_embd.weight')?.shape[0] ?? 0;
  const outputs = Math.max(options.n_seq_max, Math.min(outputRows, options.n_batch));
  const scratch =
    options.n_batch * float32Bytes * (vocabulary + 4 * width + 2 * number('feed_forward_length'));
  let weights = 0;
  for (const { byteLength } of file.tensors.values()) weights += byteLength;
  const logits = 2 * outputs * vocabulary * float32Bytes;
  return {
    context: Math.min(options.n_ctx, trained),
    bytesPerToken: layers * keyValueHeads * (keyWidth + valueWidth) * float16Bytes,
    fixedBytes: processBytes + weights + logits + scratch + options.prefix_cache_bytes,
  };
}

const bytesFor = ({ context, bytesPerToken, fixedBytes }: Shape, options: EngineOptions): number =>
  fixedBytes + bytesPerToken * cachedTokens(context, options);

export interface MemoryPlan {
  readonly bytes: number;
  /** Of these, what fills only as prompts come: the prefix cache. */
  readonly growing: number;
  /** As asked for; where all sequences would not fit, they share a smaller cache. */
  readonly options: EngineOptions;
}

/** Streams that share a cache are better than none: it is cut to what fits, down to one whole context. */
export function planMemory(file: GgufFile, wanted: EngineOptions, limitBytes: number): MemoryPlan {
  const shape = shapeOf(file, wanted);
  const { context, bytesPerToken, fixedBytes } = shape;
  const isFit = bytesFor(shape, wanted) <= limitBytes || bytesPerToken === 0;
  const fitting = isFit ? 0 : Math.floor((limitBytes - fixedBytes) / bytesPerToken);
  const options = isFit ? wanted : { ...wanted, n_kv: Math.max(context, fitting) };
  return { bytes: bytesFor(shape, options), growing: wanted.prefix_cache_bytes, options };
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
