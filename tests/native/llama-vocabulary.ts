// A vocabulary as llama.cpp sees it: writes a GGUF without weights from metadata and asks the library for
// token ids. Test support; the engine has its own, richer seam.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gguf, openFileSink, writeGguf, type GgufMetadata } from '@corral/formats';
import { openLlama } from '../../packages/engine/src/llama-cpp/functions.ts';

export interface LlamaVocabulary extends Disposable {
  /** llama_tokenize with add_special = false; control tokens are text unless `parseSpecial`. */
  tokenize(text: string, parseSpecial?: boolean): number[];
}

/** Reads the vocabulary of the GGUF at `path`. */
export function openLlamaVocabulary(path: string): LlamaVocabulary {
  const llama = openLlama();
  const params = llama.modelParams();
  params.vocab_only = true;
  const model = llama.loadModel(path, params);
  if (model === null) throw new Error(`llama.cpp refused ${path}`);
  const vocabulary = llama.vocabulary(model);
  return {
    tokenize: (text, parseSpecial = false) => {
      const bytes = new TextEncoder().encode(text);
      const ids = new Int32Array(bytes.byteLength + 16);
      const count = llama.tokenize(
        vocabulary,
        bytes,
        bytes.byteLength,
        ids,
        ids.length,
        false,
        parseSpecial,
      );
      if (count < 0) throw new Error(`llama_tokenize answered ${count}`);
      return [...ids.subarray(0, count)];
    },
    [Symbol.dispose]: () => llama.freeModel(model),
  };
}

/** The vocabulary of `tokenizer.*` metadata, through a file written by our own writer. */
export async function llamaVocabularyOf(metadata: GgufMetadata): Promise<LlamaVocabulary> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-vocabulary-'));
  try {
    const path = join(folder, 'vocabulary.gguf');
    await using sink = await openFileSink(path);
    const head = new Map([['general.architecture', gguf.string('llama')]]);
    await writeGguf(sink, { metadata: new Map([...head, ...metadata]), tensors: [] });
    await sink.commit();
    return openLlamaVocabulary(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
