// A decoding context: the cache of keys and values, a batch, a view of the logits, the active adapter.
// Owns the native context. Knows nothing of requests.
import koffi from 'koffi';
import { CorralError } from '@corral/contracts';
import { createEvaluation, type Evaluation } from './evaluation.ts';
import { openLlama, type Address } from './functions.ts';
import { createBatch } from './native-batch.ts';
import { createSequenceMemory } from './native-memory.ts';
import type { LlamaStack } from './native-stack.ts';
import type {
  ContextOptions,
  DecodeOutcome,
  NativeAdapter,
  NativeContext,
} from './native-types.ts';
import type { NativeStack } from './stack-types.ts';
import { splitRows } from './ubatch-rows.ts';

const outcomes: Readonly<Record<number, DecodeOutcome>> = {
  0: 'ok',
  1: 'no-room',
  [-1]: 'invalid',
};

const failed = (reason: string): CorralError =>
  new CorralError('engine_failed', { params: { reason } });

function openContext(
  model: Address,
  options: ContextOptions,
  evaluation: Evaluation | null,
): Address {
  const llama = openLlama();
  const params = llama.contextParams();
  params.n_ctx = options.sharedTokens ?? options.sequenceTokens * options.sequences;
  params.kv_unified = options.sharedTokens !== undefined;
  params.n_seq_max = options.sequences;
  params.n_batch = options.batchTokens;
  params.n_ubatch = options.ubatchTokens ?? options.batchTokens;
  params.n_outputs_max = options.outputs;
  params.n_threads = options.threads;
  params.n_threads_batch = options.threads;
  params.no_perf = true;
  // Embeddings of tokens, pooled on our side: one context serves every pooling.
  params.embeddings = options.embeddings ?? false;
  params.pooling_type = 0; // LLAMA_POOLING_TYPE_NONE
  if (evaluation) params.cb_eval = evaluation.address;
  const context = llama.createContext(model, params);
  if (!context) {
    evaluation?.close();
    throw failed(`no context of ${options.sequenceTokens} tokens could be made`);
  }
  return context;
}

/** Float32 rows of the last decode; `koffi.view` costs 47 µs, so views are kept by address. */
function rowsView(read: () => Address, rows: number, columns: number) {
  let address: Address = null;
  let view = new Float32Array(0);
  return (row: number): Float32Array => {
    const current = read();
    if (!current) throw failed('there are no outputs');
    if (current !== address) {
      address = current;
      // As long as the buffer can ever be: llama.cpp may allocate fewer rows, but then none of the
      // others is asked for.
      view = new Float32Array(koffi.view(current, rows * columns * 4));
    }
    return view.subarray(row * columns, (row + 1) * columns);
  };
}

export interface ContextParts {
  readonly model: Address;
  readonly vocabularySize: number;
  readonly embeddingWidth: number;
  /** The native address of an adapter of this model. */
  readonly adapterAddress: (adapter: NativeAdapter) => bigint;
  readonly stack: (stack: NativeStack) => LlamaStack;
  /** Told when a context is closed. */
  readonly onClose: (context: NativeContext) => void;
  /** The threads of all contexts that decode with so many; null where there are none to be had. */
  readonly threadPool: (threads: number) => Address;
}

/** What llama.cpp adds to the base's products: an adapter, or a stack in the place of one. */
function createActiveAdapter(context: Address) {
  const llama = openLlama();
  const pointer = new BigUint64Array(1);
  const scale = new Uint8Array(new Float32Array([1]).buffer);
  let active: bigint | null = null;
  return (address: bigint | null): void => {
    // Setting the same one again is free in llama.cpp, too; the call is not.
    if (address === active) return;
    if (address !== null) pointer[0] = address;
    const code =
      address === null
        ? llama.useAdapters(context, null, 0, null)
        : llama.useAdapters(context, new Uint8Array(pointer.buffer), 1, scale);
    if (code !== 0) throw failed('the adapter could not be switched on');
    active = address;
  };
}

interface DecodingParts {
  readonly context: Address;
  readonly batch: ReturnType<typeof createBatch>;
  readonly evaluation: Evaluation | null;
  readonly split: Parameters<typeof splitRows>[1];
  readonly parts: ContextParts;
}

/** Decodes under the eyes of what watches it, with what llama.cpp adds to the base's products. */
function createDecoding({ context, batch, evaluation, split, parts }: DecodingParts) {
  const llama = openLlama();
  const { mask, warmer } = evaluation ?? {};
  const activate = createActiveAdapter(context);
  let stackFailure: string | null = null;
  let decodeMs = 0;
  return {
    decode: (): DecodeOutcome => {
      mask?.begin(() => splitRows(batch.rows(), split));
      warmer?.begin(batch.size);
      const start = performance.now();
      const outcome = outcomes[llama.decode(context, batch.struct())] ?? 'failed';
      const ms = performance.now() - start;
      decodeMs += ms;
      // How soon a batch is refused says nothing of what decodes take.
      if (outcome === 'ok') {
        warmer?.end(ms);
        stackFailure ??= mask?.end() ?? null;
      }
      return stackFailure === null ? outcome : 'failed';
    },
    get decodeMs() {
      return decodeMs;
    },
    useAdapter: (adapter: NativeAdapter | null): void => {
      activate(adapter && parts.adapterAddress(adapter));
      mask?.use(null, null);
      warmer?.use(null);
      stackFailure = null;
    },
    useStack: (stack: NativeStack, ranks: Parameters<NativeContext['useStack']>[1]): void => {
      if (!mask) throw failed('on a GPU adapters are not decoded side by side');
      const known = parts.stack(stack);
      activate(known.address);
      mask.use(known, ranks);
      warmer?.use(known);
    },
    get stackFailure() {
      return stackFailure;
    },
  };
}

export function createContext(parts: ContextParts, options: ContextOptions): NativeContext {
  const llama = openLlama();
  // On a GPU each stop would wait for the device, and weights lie elsewhere: there are neither stacks nor warming.
  const evaluation = llama.hasGpu() ? null : createEvaluation();
  const context = openContext(parts.model, options, evaluation);
  // Without a pool each decode starts and joins its threads.
  const pool = parts.threadPool(options.threads);
  if (pool) llama.attachThreadpool(context, pool, pool);
  const { model } = parts;
  const { sequences, ubatchTokens = options.batchTokens, sharedTokens = null } = options;
  const memory = createSequenceMemory({ context, model, sharedTokens, sequences });
  const batch = createBatch(options.batchTokens);
  const split = { ubatchTokens, unified: sharedTokens !== null };
  const decoding = createDecoding({ context, batch, evaluation, split, parts });
  let open = true;

  const made: NativeContext = {
    ...memory,
    batch,
    sequenceTokens:
      sharedTokens === null ? llama.contextSequenceTokens(context) : options.sequenceTokens,
    sequences,
    outputs: options.outputs,
    decode: decoding.decode,
    get decodeMs() {
      return decoding.decodeMs;
    },
    logits: rowsView(() => llama.logits(context), options.outputs, parts.vocabularySize),
    embedding: rowsView(() => llama.embeddings(context), options.outputs, parts.embeddingWidth),
    useAdapter: decoding.useAdapter,
    useStack: decoding.useStack,
    get stackFailure() {
      return decoding.stackFailure;
    },
    close: () => {
      if (!open) return;
      open = false;
      llama.freeContext(context);
      evaluation?.close();
      parts.onClose(made);
    },
  };
  return made;
}
