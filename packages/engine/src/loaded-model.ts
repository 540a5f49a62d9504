// A model that is ready to serve: native model, context, scheduler, adapters, and what takes requests to
// them. Owns them all. Knows no IPC.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import {
  CorralError,
  type EngineModelInfo,
  type EngineOptions,
  type GenerationEvent,
} from '@corral/contracts';
import { createAdapters, type Adapters } from './adapters.ts';
import { createAdapterDecoding } from './adapters/adapter-decoding.ts';
import type { NativeContext, NativeLibrary, NativeModel } from './llama-cpp/native-types.ts';
import { chooseContextSize } from './context-size.ts';
import type { CheckModelFile } from './model-file.ts';
import {
  createModelRequests,
  type ModelRequests,
  type ModelRequestsOptions,
} from './model-requests.ts';
import { openPrefixFiles, type PrefixFiles } from './prefix-files.ts';
import { Scheduler } from './scheduler/scheduler.ts';
import { chooseThreads } from './threads.ts';

/**
 * Rows of logits a step can have when few sequences run: scoring takes many at once. A row of a large
 * vocabulary is half a megabyte, and llama.cpp reserves all of them.
 */
const minimumOutputs = 64;

/** Tokens embedded between two steps: while streams wait for their next token, and while none does. */
const embeddedBesideStreams = 64;
const embeddedAlone = 256;

export interface LoadedModel {
  readonly info: EngineModelInfo;
  readonly scheduler: Scheduler;
  readonly adapters: Adapters;
  readonly requests: ModelRequests;
  /** True while requests wait or run. */
  readonly busy: boolean;
  /** One decode for what generates, and a piece of what is to be embedded. */
  step(): void;
  /** Something small that can wait until nobody has asked for a while; false when there is nothing. */
  idle(): boolean;
  /** Ends a request at once; false when there is none of that id. */
  cancel(id: string): boolean;
  /** Idempotent. */
  close(): void;
}

export interface LoadOptions {
  readonly library: NativeLibrary;
  readonly checkFile: CheckModelFile;
  readonly path: string;
  readonly options: EngineOptions;
  readonly emit: (event: GenerationEvent) => void;
  readonly finish: ModelRequestsOptions['finish'];
  readonly fail: (id: string, error: CorralError) => void;
}

/** Beyond what it was trained on a model only babbles; the answer to `load` says what it got. */
const contextLength = ({ info }: NativeModel, { n_ctx }: EngineOptions): number =>
  Math.min(n_ctx, info.trainedContext || n_ctx);

const threadsOf = ({ n_threads }: EngineOptions): number =>
  n_threads === 0 ? chooseThreads() : n_threads;

function openContext(model: NativeModel, wanted: EngineOptions): NativeContext {
  const n_ctx = contextLength(model, wanted);
  const options = { ...wanted, n_ctx };
  const outputs = Math.max(options.n_seq_max, Math.min(minimumOutputs, options.n_batch));
  const size = chooseContextSize({
    options,
    bytesPerToken: model.info.cacheBytesPerToken,
    // Logits exist twice: in the graph and in the buffer that is read.
    otherBytes: 2 * outputs * model.vocabulary.size * 4,
    availableBytes: process.availableMemory(),
  });
  return model.createContext({
    ...size,
    sequenceTokens: n_ctx,
    // Every running sequence must find room for its token.
    batchTokens: Math.max(options.n_batch, options.n_seq_max),
    outputs,
    threads: threadsOf(options),
  });
}

/** Samples of a file that tell it from another: of each this many bytes, so many in all. */
const sampleBytes = 64 * 1024;
const samples = 64;

/**
 * What a file is, without reading all of it: at a gigabyte a second a large model would be hashed for longer
 * than it takes to load. A model that was written anew has another time or another size.
 */
async function fingerprint(path: string): Promise<string> {
  await using file = await open(path);
  const { size, mtimeNs } = await file.stat({ bigint: true });
  const hash = createHash('sha256').update(`${size} ${mtimeNs}\n`);
  const buffer = new Uint8Array(sampleBytes);
  const stride = Math.max(sampleBytes, Math.floor(Number(size) / samples));
  for (let at = 0; at < Number(size); at += stride) {
    const { bytesRead } = await file.read(buffer, 0, sampleBytes, at);
    hash.update(buffer.subarray(0, bytesRead));
  }
  return hash.digest('hex');
}

/** The prefix cache on disk, if there is to be one. What it holds is of use to the same model only. */
async function openFiles(model: NativeModel, load: LoadOptions): Promise<PrefixFiles | null> {
  const { prefix_cache_folder: folder, prefix_cache_bytes: maxBytes } = load.options;
  if (folder === null || maxBytes === 0) return null;
  const context = `n_ctx ${contextLength(model, load.options)} f16`;
  const binding = `${await fingerprint(load.path)} ${load.library.release} ${context}`;
  try {
    return openPrefixFiles({ folder, binding, maxBytes });
  } catch (error) {
    throw new CorralError('invalid_request', {
      params: { reason: `prefix_cache_folder "${folder}" cannot be used: ${String(error)}` },
      param: 'prefix_cache_folder',
      cause: error,
    });
  }
}

/** Checks the file, loads it and makes its context. Throws CorralError. */
export async function openLoadedModel(load: LoadOptions): Promise<LoadedModel> {
  await load.checkFile(load.path, 'model');
  const model = load.library.loadModel(load.path);
  try {
    const prefixFiles = await openFiles(model, load);
    return assemble(model, openContext(model, load.options), { ...load, prefixFiles });
  } catch (error) {
    model.close();
    throw error;
  }
}

function modelInfo(
  { info, vocabulary }: NativeModel,
  n_ctx: number,
  build: string,
): EngineModelInfo {
  return {
    architecture: info.architecture,
    n_vocab: vocabulary.size,
    n_ctx,
    n_ctx_train: info.trainedContext,
    n_params: info.parameters,
    size_bytes: info.sizeBytes,
    build,
  };
}

function assemble(
  model: NativeModel,
  context: NativeContext,
  load: LoadOptions & { readonly prefixFiles: PrefixFiles | null },
): LoadedModel {
  const { options, checkFile, library, emit, finish, fail } = load;
  // llama.cpp rounds up; what was promised is what counts.
  const contextTokens = contextLength(model, options);
  const decoding = createAdapterDecoding({
    library,
    model,
    modelPath: load.path,
    context,
    threads: threadsOf(options),
    mode: options.adapter_batching,
  });
  const scheduler = new Scheduler(decoding.context, {
    strategy: decoding,
    prefixCacheBytes: options.prefix_cache_bytes,
    cacheBytesPerToken: model.info.cacheBytesPerToken,
    speculates: options.speculation === 'auto',
    slots: options.n_seq_max,
    prefixFiles: load.prefixFiles ?? undefined,
  });
  const adapters = createAdapters({ decoding, scheduler, checkFile });
  const threads = threadsOf(options);
  const parts = { model, contextTokens, threads, scheduler, adapters, decoding };
  const requests = createModelRequests({ ...parts, emit, finish, fail });
  const { embedder } = requests;

  return {
    info: modelInfo(model, contextTokens, library.release),
    scheduler,
    adapters,
    requests,
    get busy() {
      return scheduler.active + scheduler.queued + embedder.pending > 0;
    },
    step: () => {
      scheduler.step();
      embedder.step(scheduler.active > 0 ? embeddedBesideStreams : embeddedAlone);
    },
    idle: () => scheduler.warmUp() || scheduler.persistOne(),
    cancel: (id) => scheduler.cancel(id) || embedder.cancel(id),
    close: () => {
      embedder.close();
      model.close();
    },
  };
}
