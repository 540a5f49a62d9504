// Opens the libraries and types the functions of llama.h that the engine calls. Nothing here decides
// anything; meaning lives in the files beside it.
import koffi from 'koffi';
import { CorralError } from '@corral/contracts';
import { expectedLayout } from './expected-layout.ts';
import { findLibraryFiles } from './library-files.ts';
import { expectedVersion, measureLayout, type StructValue } from './struct-layouts.ts';

/** Address of something native; null or 0n = none. */
export type Address = bigint | null;
/** Memory that native code reads or writes during the call. */
type Memory = Uint8Array | Int32Array | null;

export interface LlamaFunctions {
  version(): string;
  modelParams(): StructValue<'llama_model_params'>;
  contextParams(): StructValue<'llama_context_params'>;
  quantizeParams(): StructValue<'llama_model_quantize_params'>;
  loadModel(path: string, params: StructValue<'llama_model_params'>): Address;
  freeModel(model: Address): void;
  createContext(model: Address, params: StructValue<'llama_context_params'>): Address;
  freeContext(context: Address): void;
  contextSequenceTokens(context: Address): number;
  decode(context: Address, batch: StructValue<'llama_batch'>): number;
  logits(context: Address): Address;
  embeddings(context: Address): Address;
  memory(context: Address): Address;
  removeSequence(memory: Address, sequence: number, from: number, to: number): boolean;
  copySequence(memory: Address, from: number, to: number, start: number, end: number): void;
  stateBytes(context: Address, sequence: number): number | bigint;
  getState(context: Address, bytes: Memory, size: number, sequence: number): number | bigint;
  setState(context: Address, bytes: Memory, size: number, sequence: number): number | bigint;
  isRecurrent(model: Address): boolean;
  isHybrid(model: Address): boolean;
  attachThreadpool(context: Address, decode: Address, prefill: Address): void;
  vocabulary(model: Address): Address;
  vocabularyType(vocabulary: Address): number;
  vocabularySize(vocabulary: Address): number;
  vocabularyBos(vocabulary: Address): number;
  vocabularyEos(vocabulary: Address): number;
  vocabularyAddBos(vocabulary: Address): boolean;
  vocabularyAddEos(vocabulary: Address): boolean;
  attributes(vocabulary: Address, token: number): number;
  isEndOfGeneration(vocabulary: Address, token: number): boolean;
  spelling(vocabulary: Address, token: number): string | null;
  tokenize(
    vocabulary: Address,
    text: Memory,
    textBytes: number,
    tokens: Memory,
    maxTokens: number,
    addSpecial: boolean,
    parseSpecial: boolean,
  ): number;
  piece(
    vocabulary: Address,
    token: number,
    bytes: Memory,
    maxBytes: number,
    leadingSpaces: number,
    special: boolean,
  ): number;
  chatTemplate(model: Address, name: string | null): string | null;
  metadata(model: Address, key: string, bytes: Memory, maxBytes: number): number;
  trainedContext(model: Address): number;
  layers(model: Address): number;
  embedding(model: Address): number;
  embeddingOut(model: Address): number;
  heads(model: Address): number;
  keyValueHeads(model: Address): number;
  modelBytes(model: Address): number | bigint;
  parameters(model: Address): number | bigint;
  loadAdapter(model: Address, path: string): Address;
  freeAdapter(adapter: Address): void;
  useAdapters(context: Address, adapters: Memory, count: number, scales: Memory): number;
  quantizeAsync(
    source: string,
    target: string,
    params: StructValue<'llama_model_quantize_params'>,
  ): Promise<number>;
  /** Null when the CPU backend has no threads to offer. */
  createThreadpool(threads: number): Address;
  freeThreadpool(pool: Address): void;
  tensorName(tensor: Address): string;
  /** Bytes of its numbers. */
  tensorBytes(tensor: Address): number | bigint;
  /** Copies `size` bytes to `offset` of the tensor, and again for each of `copies` strides. */
  setTensorRows(
    tensor: Address,
    data: Uint8Array,
    offset: number,
    size: number,
    copies: number,
    tensorStride: number,
    dataStride: number,
  ): void;
  /**
   * A backend's buffer lies in this process's memory as ggml's types say (not on a device, not laid out anew),
   * and holds `size` bytes from `data` on.
   */
  holdsPlain(buffer: Address, data: bigint, size: number): boolean;
  /** A device that weights could have been moved to. */
  hasGpu(): boolean;
}

/** `(tensor, ask)`: asked before a node is computed whether to stop after it, and told when it was. */
export type EvalCallback = (tensor: number | bigint, ask: boolean) => boolean;

type Library = ReturnType<typeof koffi.load>;
type ThreadpoolFunctions = Pick<LlamaFunctions, 'createThreadpool' | 'freeThreadpool'>;
type AdapterFunctions = Pick<LlamaFunctions, 'loadAdapter' | 'freeAdapter' | 'useAdapters'>;
type VocabularyFunction =
  | 'vocabulary'
  | 'vocabularyType'
  | 'vocabularySize'
  | 'vocabularyBos'
  | 'vocabularyEos'
  | 'vocabularyAddBos'
  | 'vocabularyAddEos'
  | 'attributes'
  | 'isEndOfGeneration'
  | 'spelling'
  | 'tokenize'
  | 'piece';
type TensorFunctions = Pick<
  LlamaFunctions,
  'tensorName' | 'tensorBytes' | 'setTensorRows' | 'holdsPlain' | 'hasGpu'
>;

// ggml_backend_sched_eval_callback; the address as a number costs less than a pointer object.
const evalPrototype = koffi.proto('bool corral_eval_callback(uint64_t, bool, void *)');

/** A native function that calls back; it must be released, and be in no context any more then. */
export function registerEvalCallback(callback: EvalCallback): {
  readonly address: bigint;
  release(): void;
} {
  const registered = koffi.register(callback, koffi.pointer(evalPrototype));
  return { address: registered, release: () => koffi.unregister(registered) };
}

function bindLlama(
  llama: Library,
): Omit<
  LlamaFunctions,
  keyof ThreadpoolFunctions | VocabularyFunction | keyof AdapterFunctions | keyof TensorFunctions
> {
  const quantize = llama.func(
    'uint32_t llama_model_quantize(const char *, const char *, llama_model_quantize_params *)',
  );
  return {
    version: llama.func('const char *llama_version()'),
    modelParams: llama.func('llama_model_params llama_model_default_params()'),
    contextParams: llama.func('llama_context_params llama_context_default_params()'),
    quantizeParams: llama.func('llama_model_quantize_params llama_model_quantize_default_params()'),
    loadModel: llama.func('void *llama_model_load_from_file(const char *, llama_model_params)'),
    freeModel: llama.func('void llama_model_free(void *)'),
    createContext: llama.func('void *llama_init_from_model(void *, llama_context_params)'),
    freeContext: llama.func('void llama_free(void *)'),
    contextSequenceTokens: llama.func('uint32_t llama_n_ctx_seq(void *)'),
    decode: llama.func('int32_t llama_decode(void *, llama_batch)'),
    logits: llama.func('void *llama_get_logits(void *)'),
    embeddings: llama.func('void *llama_get_embeddings(void *)'),
    memory: llama.func('void *llama_get_memory(void *)'),
    removeSequence: llama.func('bool llama_memory_seq_rm(void *, int32_t, int32_t, int32_t)'),
    copySequence: llama.func(
      'void llama_memory_seq_cp(void *, int32_t, int32_t, int32_t, int32_t)',
    ),
    stateBytes: llama.func('size_t llama_state_seq_get_size(void *, int32_t)'),
    getState: llama.func('size_t llama_state_seq_get_data(void *, void *, size_t, int32_t)'),
    setState: llama.func('size_t llama_state_seq_set_data(void *, void *, size_t, int32_t)'),
    isRecurrent: llama.func('bool llama_model_is_recurrent(void *)'),
    isHybrid: llama.func('bool llama_model_is_hybrid(void *)'),
    attachThreadpool: llama.func('void llama_attach_threadpool(void *, void *, void *)'),
    chatTemplate: llama.func('const char *llama_model_chat_template(void *, const char *)'),
    metadata: llama.func('int32_t llama_model_meta_val_str(void *, const char *, void *, size_t)'),
    trainedContext: llama.func('int32_t llama_model_n_ctx_train(void *)'),
    layers: llama.func('int32_t llama_model_n_layer(void *)'),
    embedding: llama.func('int32_t llama_model_n_embd(void *)'),
    embeddingOut: llama.func('int32_t llama_model_n_embd_out(void *)'),
    heads: llama.func('int32_t llama_model_n_head(void *)'),
    keyValueHeads: llama.func('int32_t llama_model_n_head_kv(void *)'),
    modelBytes: llama.func('uint64_t llama_model_size(void *)'),
    parameters: llama.func('uint64_t llama_model_n_params(void *)'),
    quantizeAsync: (source, target, params) =>
      new Promise((resolve, reject) => {
        quantize.async(source, target, params, (error: unknown, code: number) =>
          error instanceof Error ? reject(error) : resolve(code),
        );
      }),
  };
}

/** The constructor of thread pools is not exported: the CPU backend is asked for it by name. */
function bindThreadpool(ggml: Library, base: Library): ThreadpoolFunctions {
  const deviceByType = ggml.func('void *ggml_backend_dev_by_type(int)');
  const registryOf = base.func('void *ggml_backend_dev_backend_reg(void *)');
  const lookUp = base.func('void *ggml_backend_reg_get_proc_address(void *, const char *)');
  const defaults = base.func('ggml_threadpool_params ggml_threadpool_params_default(int)');
  const create = koffi.proto('void *ggml_threadpool_new(ggml_threadpool_params *)');
  const free = koffi.proto('void ggml_threadpool_free(void *)');
  const cpuDevice = 0; // GGML_BACKEND_DEVICE_TYPE_CPU
  const find = (name: string): Address => lookUp(registryOf(deviceByType(cpuDevice)), name);
  return {
    createThreadpool: (threads) => {
      const found = find('ggml_threadpool_new');
      return found ? koffi.call(found, create, defaults(threads)) : null;
    },
    freeThreadpool: (pool) => {
      const found = find('ggml_threadpool_free');
      if (found) koffi.call(found, free, pool);
    },
  };
}

function bindVocabulary(llama: Library): Pick<LlamaFunctions, VocabularyFunction> {
  return {
    vocabulary: llama.func('void *llama_model_get_vocab(void *)'),
    vocabularyType: llama.func('int llama_vocab_type(void *)'),
    vocabularySize: llama.func('int32_t llama_vocab_n_tokens(void *)'),
    vocabularyBos: llama.func('int32_t llama_vocab_bos(void *)'),
    vocabularyEos: llama.func('int32_t llama_vocab_eos(void *)'),
    vocabularyAddBos: llama.func('bool llama_vocab_get_add_bos(void *)'),
    vocabularyAddEos: llama.func('bool llama_vocab_get_add_eos(void *)'),
    attributes: llama.func('int llama_vocab_get_attr(void *, int32_t)'),
    isEndOfGeneration: llama.func('bool llama_vocab_is_eog(void *, int32_t)'),
    spelling: llama.func('const char *llama_vocab_get_text(void *, int32_t)'),
    tokenize: llama.func(
      'int32_t llama_tokenize(void *, void *, int32_t, void *, int32_t, bool, bool)',
    ),
    piece: llama.func(
      'int32_t llama_token_to_piece(void *, int32_t, void *, int32_t, int32_t, bool)',
    ),
  };
}

function bindAdapters(llama: Library): AdapterFunctions {
  return {
    loadAdapter: llama.func('void *llama_adapter_lora_init(void *, const char *)'),
    freeAdapter: llama.func('void llama_adapter_lora_free(void *)'),
    useAdapters: llama.func('int32_t llama_set_adapters_lora(void *, void *, size_t, void *)'),
  };
}

function bindTensors(ggml: Library, base: Library): TensorFunctions {
  const deviceByType = ggml.func('void *ggml_backend_dev_by_type(int)');
  const isHost = base.func('bool ggml_backend_buffer_is_host(void *)');
  const startOf = base.func('uintptr_t ggml_backend_buffer_get_base(void *)');
  const sizeOf = base.func('size_t ggml_backend_buffer_get_size(void *)');
  const gpuDevices = [1, 2]; // GGML_BACKEND_DEVICE_TYPE_GPU, _IGPU
  return {
    tensorName: base.func('const char *ggml_get_name(void *)'),
    tensorBytes: base.func('size_t ggml_nbytes(void *)'),
    setTensorRows: base.func(
      'void ggml_backend_tensor_set_2d(void *, void *, size_t, size_t, size_t, size_t, size_t)',
    ),
    holdsPlain: (buffer, data, size) => {
      if (!buffer || !data || !isHost(buffer)) return false;
      const start = BigInt(startOf(buffer));
      return data >= start && data + BigInt(size) <= start + BigInt(sizeOf(buffer));
    },
    hasGpu: () => gpuDevices.some((type) => Boolean(deviceByType(type))),
  };
}

function checkRelease(functions: Pick<LlamaFunctions, 'version' | 'contextParams'>): void {
  const refuse = (reason: string): never => {
    throw new CorralError('native_library_missing', {
      params: { component: 'the engine', reason },
    });
  };
  const version = functions.version();
  if (version !== expectedVersion)
    refuse(`it is llama.cpp ${version}, and the engine was made for ${expectedVersion}`);
  for (const [member, [offset, size]] of Object.entries(measureLayout())) {
    const [expectedOffset, expectedSize] = expectedLayout[member] ?? [];
    if (offset !== expectedOffset || size !== expectedSize)
      refuse(`${member} is at ${offset} (${size} bytes), not at ${expectedOffset}`);
  }
  // Defaults near both ends of the largest struct: another header would put other values there.
  const { n_ctx, n_batch, type_k, n_samplers } = functions.contextParams();
  if (n_ctx !== 512 || n_batch !== 2048 || type_k !== 1 || Number(n_samplers) !== 0)
    refuse('the default parameters are not those of the pinned release');
}

let opened: LlamaFunctions | undefined;

/** The functions, with the backends loaded and the log silenced; opened once a process. */
export function openLlama(): LlamaFunctions {
  if (opened) return opened;
  const files = findLibraryFiles();
  try {
    const options = { global: true, lazy: true };
    const base = koffi.load(files.ggmlBase, options);
    const ggml = koffi.load(files.ggml, options);
    const llama = koffi.load(files.llama, options);
    const functions = {
      ...bindLlama(llama),
      ...bindVocabulary(llama),
      ...bindThreadpool(ggml, base),
      ...bindAdapters(llama),
      ...bindTensors(ggml, base),
    };
    checkRelease(functions);
    // A native function that ignores its arguments: a JavaScript sink would be called inside decode.
    const sink: Address = llama.symbol('llama_supports_mmap');
    llama.func('void llama_log_set(void *, void *)')(sink, null);
    ggml.func('void ggml_backend_load_all_from_path(const char *)')(files.folder);
    llama.func('void llama_backend_init()')();
    opened = functions;
  } catch (error) {
    if (CorralError.isInstance(error)) throw error;
    throw new CorralError('native_library_missing', {
      params: { component: 'the engine', reason: String(error) },
      cause: error,
    });
  }
  return opened;
}
