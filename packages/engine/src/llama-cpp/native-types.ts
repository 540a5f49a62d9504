// The seam to native code: what the rest of the engine may ask of a model library, in plain types, small
// enough to be faked. Knows nothing of koffi, llama.h or files' contents.
import type { EngineRequest } from '@corral/contracts';
import type { Pooling } from '../embeddings/pooling.ts';
import type { NativeStack, RankRange, StackPlan } from './stack-types.ts';

export type VocabularyKind = 'sentencepiece' | 'byte-pair' | 'other';

export interface TokenizeOptions {
  /** True: text that looks like a control token becomes that token. Only for the template's own text. */
  readonly special: boolean;
  /** SentencePiece only: false leaves out the space that is otherwise put before the text. */
  readonly spacePrefix: boolean;
}

export interface NativeVocabulary {
  readonly kind: VocabularyKind;
  readonly size: number;
  /** Token ids, null where the vocabulary has none. */
  readonly bos: number | null;
  readonly eos: number | null;
  /** A prompt begins with `bos`. */
  readonly addBos: boolean;
  /** A text to be embedded ends with `eos`. */
  readonly addEos: boolean;
  tokenize(text: string, options: TokenizeOptions): number[];
  /** Bytes a token stands for; control tokens give none. A view: do not change them. */
  piece(token: number): Uint8Array;
  /** The token's text as the vocabulary spells it, control tokens included. */
  spelling(token: number): string;
  /** Control and unknown tokens: what text of people must never become. */
  isControl(token: number): boolean;
  /** All of them. Costly at the first call. */
  controlTokens(): readonly number[];
  /** End of text, of turn, …: generation stops here. */
  readonly endOfGeneration: ReadonlySet<number>;
}

export interface NativeModelInfo {
  readonly architecture: string;
  readonly trainedContext: number;
  readonly parameters: number;
  readonly sizeBytes: number;
  /** Bytes of keys and values of one token in all layers, in float16. */
  readonly cacheBytesPerToken: number;
  /** Numbers of an embedding. */
  readonly embeddingWidth: number;
  /** How the file wants embeddings of tokens to become one of a text; null: it says nothing. */
  readonly pooling: Pooling | null;
  /** The Jinja template of `tokenizer.chat_template`, null when the file has none. */
  readonly chatTemplate: string | null;
}

/** A LoRA adapter in memory, tied to the model that loaded it. */
export interface NativeAdapter {
  /** Idempotent. Must not be active in a context any more. */
  close(): void;
}

export interface ContextOptions {
  /** Tokens of one sequence. */
  readonly sequenceTokens: number;
  readonly sequences: number;
  /** Tokens of one `decode`. */
  readonly batchTokens: number;
  /** Rows of logits of one `decode`. */
  readonly outputs: number;
  readonly threads: number;
  /**
   * Tokens of all sequences together, which then share one cache; absent: each has room for
   * `sequenceTokens` of its own. Apart is faster (with 32 streams by a fifth on a CPU: attention passes
   * over the cells of the others), together needs less memory.
   */
  readonly sharedTokens?: number;
  /** `embedding` will be called: every token must be an output then. */
  readonly embeddings?: boolean;
  /** Tokens computed at once; absent: all of a decode. */
  readonly ubatchTokens?: number;
}

/** Tokens for one `decode`. Filled by `add`, emptied by `clear`. */
export interface NativeBatch {
  readonly capacity: number;
  readonly size: number;
  readonly outputs: number;
  clear(): void;
  /** `position` counts from 0 in the sequence; `output` asks for a row of logits. */
  add(token: number, position: number, sequence: number, output: boolean): void;
}

/**
 * What `decode` answered. `no-room`: the cache is full, nothing changed. `invalid`: a token, sequence or
 * position is out of range, nothing changed. `failed`: the sequences of the batch are in an unknown state.
 */
export type DecodeOutcome = 'ok' | 'no-room' | 'invalid' | 'failed';

/** What can be done to the keys and values of sequences between two decodes. */
export interface SequenceMemory {
  /** Tokens that all sequences together can hold when they share one cache; null when they do not. */
  readonly sharedTokens: number | null;
  /** False for recurrent models: a sequence can be forgotten as a whole only, and none be copied in part. */
  readonly partial: boolean;
  /** What `save` gives fits other contexts of the model, however many sequences they have. */
  readonly portable: boolean;
  /** Forgets the sequence from `position` on. */
  truncate(sequence: number, position: number): void;
  /**
   * Makes `to`, which must be empty, equal to the first `length` tokens of `from`. Costs 25 µs a token at
   * 135M, next to nothing in a shared cache. False when it could not be done: `to` is empty then.
   */
  copy(from: number, to: number, length: number): boolean;
  /** Keys and values of a whole sequence as bytes that only the same model, build and cache types take. */
  save(sequence: number): Uint8Array;
  /** The contrary of `save`, into an empty sequence. False when the bytes do not fit: it is empty then. */
  restore(sequence: number, state: Uint8Array): boolean;
}

export interface NativeContext extends SequenceMemory {
  readonly batch: NativeBatch;
  /** What the context really holds; may be more than was asked for. */
  readonly sequenceTokens: number;
  readonly sequences: number;
  readonly outputs: number;
  /** Decodes the batch, blocking. The caller keeps size and outputs within the options. */
  decode(): DecodeOutcome;
  /** Milliseconds spent in `decode` so far. */
  readonly decodeMs: number;
  /** Row `index` (0-based, in order of the batch's outputs) of the last decode: float32 [vocabulary]. Valid until the next. */
  logits(index: number): Float32Array;
  /** Token `index` of the last decode, in a context for embeddings: float32 [embeddingWidth]. Valid until the next. */
  embedding(index: number): Float32Array;
  /** The adapter of the following decodes; null = the base alone. */
  useAdapter(adapter: NativeAdapter | null): void;
  /**
   * The stack of the following decodes, in place of an adapter. `ranks[sequence]`: what that sequence uses,
   * null = the base alone. Without `ranks` every sequence uses all of the stack, which is faster.
   */
  useStack(stack: NativeStack, ranks: readonly (RankRange | null)[] | null): void;
  /** Why a decode with ranks `failed`: the library computes rows in another order than is known here. */
  readonly stackFailure: string | null;
  /** Idempotent. */
  close(): void;
}

export interface NativeModel {
  readonly info: NativeModelInfo;
  readonly vocabulary: NativeVocabulary;
  /** Throws CorralError `engine_failed` when the context cannot be made. */
  createContext(options: ContextOptions): NativeContext;
  /** Throws CorralError `model_file_invalid` when the file is not an adapter for this model. */
  loadAdapter(path: string): NativeAdapter;
  /** Throws CorralError `engine_failed` when it cannot be made. */
  createStack(plan: StackPlan): NativeStack;
  /** Frees contexts and adapters too. Idempotent. */
  close(): void;
}

export type QuantizedType = Extract<EngineRequest, { type: 'quantize' }>['ftype'];

export interface NativeLibrary {
  /** llama.cpp release. */
  readonly release: string;
  /** A device beside the CPU may compute. */
  readonly hasGpu: boolean;
  /** Throws CorralError `model_file_invalid` when llama.cpp refuses the file. */
  loadModel(path: string): NativeModel;
  /** Re-encodes a GGUF on `threads` threads, off the main thread. */
  quantize(options: {
    readonly source: string;
    readonly target: string;
    readonly type: QuantizedType;
    readonly threads: number;
  }): Promise<void>;
}
