// The tokenizer of a base model, whatever the model's file: a GGUF's metadata or a Hugging Face folder.
import { stat } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import {
  FormatError,
  type TokenizerFiles,
  detectFormat,
  openFileSource,
  readGguf,
  readTokenizerFolder,
  tokenizerJsonFromGguf,
} from '@corral/formats';
import { type TextTokenizer, createTokenizer } from './tokenizer.ts';

async function filesOfGguf(path: string): Promise<TokenizerFiles> {
  await using source = await openFileSource(path);
  if ((await detectFormat(source)) !== 'gguf') {
    const reason = 'it is weights without a config: give the folder that holds config.json';
    throw new FormatError(reason, { path });
  }
  const { metadata } = await readGguf(source);
  return tokenizerJsonFromGguf(metadata);
}

/** Reads the tokenizer's two JSON objects. Throws CorralError for what is missing or cannot be used. */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  try {
    return (await stat(path)).isDirectory()
      ? await readTokenizerFolder(path)
      : await filesOfGguf(path);
  } catch (error) {
    if (FormatError.isInstance(error)) {
      throw new CorralError(error.code, { params: error.params, cause: error });
    }
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CorralError('file_not_found', { params: { path }, cause: error });
    }
    throw error;
  }
}

export async function openTokenizer(path: string): Promise<TextTokenizer> {
  return createTokenizer(await readTokenizerFiles(path), path);
}
