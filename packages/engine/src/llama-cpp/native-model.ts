// Loads a model and answers what is known of it. Owns the native model, its contexts and adapters, and
// for SentencePiece a vocabulary-only twin. The file's header was checked before it comes here.
import koffi from 'koffi';
import { CorralError } from '@corral/contracts';
import type { Pooling } from '../embeddings/pooling.ts';
import { openLlama, type Address } from './functions.ts';
import { createContext } from './native-context.ts';
import { createStackSet } from './native-stack.ts';
import type { NativeAdapter, NativeContext, NativeModel, NativeModelInfo } from './native-types.ts';
import { createVocabulary, vocabularyKind } from './native-vocabulary.ts';
import { structTypes } from './struct-layouts.ts';

const invalid = (path: string, reason: string): CorralError =>
  new CorralError('model_file_invalid', { params: { path, reason } });

function metadata(model: Address, key: string): string | null {
  const buffer = new Uint8Array(4096);
  const length = openLlama().metadata(model, key, buffer, buffer.length);
  return length < 0 ? null : Buffer.from(buffer.subarray(0, length)).toString('utf8');
}

/** Values of `enum llama_pooling_type` as metadata spells them; none and rank give no embedding. */
const poolingTypes: Readonly<Record<string, Pooling>> = { 1: 'mean', 2: 'cls', 3: 'last' };

function readInfo(model: Address): NativeModelInfo {
  const llama = openLlama();
  const architecture = metadata(model, 'general.architecture') ?? 'unknown';
  const headSize = llama.embedding(model) / Math.max(1, llama.heads(model));
  const size = (name: string): number =>
    Number(metadata(model, `${architecture}.attention.${name}`) ?? headSize);
  const layers = llama.layers(model);
  const keyAndValue = size('key_length') + size('value_length');
  return {
    architecture,
    trainedContext: llama.trainedContext(model),
    parameters: Number(llama.parameters(model)),
    sizeBytes: Number(llama.modelBytes(model)),
    embeddingWidth: llama.embeddingOut(model),
    pooling: poolingTypes[metadata(model, `${architecture}.pooling_type`) ?? ''] ?? null,
    cacheBytesPerToken: layers * llama.keyValueHeads(model) * keyAndValue * 2,
    chatTemplate: llama.chatTemplate(model, null),
  };
}

/** The vocabulary of the file with the space prefix off, without weights. */
function loadTwin(path: string): Address {
  const llama = openLlama();
  const type = structTypes.llama_model_kv_override;
  const key = [...Buffer.from('tokenizer.ggml.add_space_prefix')];
  const emptyKey = Array.from({ length: 128 }, () => 0);
  const booleanTag = 2; // LLAMA_KV_OVERRIDE_TYPE_BOOL; its value is the union's first byte.
  const override = {
    tag: booleanTag,
    key: [...key, ...emptyKey.slice(key.length)],
    val_i64: Array.from({ length: 16 }, () => 0),
  };
  // The list ends with an entry whose key is empty.
  const list = new Uint8Array(2 * koffi.sizeof(type));
  koffi.encode(list, type, override);
  const params = llama.modelParams();
  params.vocab_only = true;
  params.kv_overrides = koffi.address(list);
  return llama.loadModel(path, params);
}

/** Contexts of one model decode one after the other, so they share threads: idle pools spin beside the busy one. */
function createThreadPools() {
  const llama = openLlama();
  const pools = new Map<number, Address>();
  return {
    of: (threads: number): Address => {
      const known = pools.get(threads);
      if (known !== undefined) return known;
      const pool = llama.createThreadpool(threads);
      pools.set(threads, pool);
      return pool;
    },
    close: (): void => {
      for (const pool of pools.values()) if (pool) llama.freeThreadpool(pool);
      pools.clear();
    },
  };
}

/** Throws CorralError `model_file_invalid` when llama.cpp refuses the file. */
export function loadModel(path: string): NativeModel {
  const llama = openLlama();
  const model = llama.loadModel(path, llama.modelParams());
  if (!model) throw invalid(path, 'llama.cpp refused it');
  const vocabularyAddress = llama.vocabulary(model);
  const twin = vocabularyKind(vocabularyAddress) === 'sentencepiece' ? loadTwin(path) : null;
  const plain = twin ? llama.vocabulary(twin) : vocabularyAddress;
  const vocabulary = createVocabulary(vocabularyAddress, plain);
  const contexts = new Set<NativeContext>();
  const adapters = new Map<NativeAdapter, bigint>();
  const stacks = createStackSet(model);
  const threadPools = createThreadPools();
  let open = true;

  function adapterAddress(adapter: NativeAdapter): bigint {
    const address = adapters.get(adapter);
    if (address === undefined) throw new CorralError('closed', { params: { what: 'adapter' } });
    return address;
  }

  return {
    info: readInfo(model),
    vocabulary,
    createContext: (options) => {
      const parts = {
        model,
        vocabularySize: vocabulary.size,
        embeddingWidth: llama.embeddingOut(model),
        adapterAddress,
        stack: stacks.known,
        threadPool: threadPools.of,
        onClose: (context: NativeContext) => contexts.delete(context),
      };
      const context = createContext(parts, options);
      contexts.add(context);
      return context;
    },
    loadAdapter: (file) => {
      const address = llama.loadAdapter(model, file);
      if (!address) throw invalid(file, 'it is not a LoRA adapter for this base model');
      const adapter: NativeAdapter = {
        close: () => {
          if (adapters.delete(adapter)) llama.freeAdapter(address);
        },
      };
      adapters.set(adapter, address);
      return adapter;
    },
    createStack: stacks.create,
    close: () => {
      if (!open) return;
      open = false;
      for (const context of contexts) context.close();
      for (const adapter of adapters.keys()) adapter.close();
      stacks.close();
      threadPools.close();
      llama.freeModel(model);
      if (twin) llama.freeModel(twin);
    },
  };
}
