// The tokenizer of a base model, whatever the model's file: a GGUF's metadata or a Hugging Face folder.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import {
  FormatError,
  type TokenizerFiles,
  detectFormat,
  ggufTokenizerFromJson,
  openFileSource,
  readGguf,
  tokenizerJsonFromGguf,
} from '@corral/formats';
import { type TextTokenizer, createTokenizer } from './tokenizer.ts';

/** tokenizer.json of Llama 3 has 9 MB; the largest vocabularies today about 35. */
const maxJsonBytes = 256 * 1024 * 1024;

async function readText(path: string): Promise<string | null> {
  try {
    const { size } = await stat(path);
    if (size > maxJsonBytes)
      throw invalidFile(path, `it has ${size} bytes; the limit is ${maxJsonBytes}`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

const invalidFile = (path: string, reason: string): CorralError =>
  new CorralError('model_file_invalid', { params: { path, reason } });

function parseObject(path: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Told below.
  }
  throw invalidFile(path, 'it is not a JSON object');
}

async function filesOfFolder(folder: string): Promise<TokenizerFiles> {
  const path = join(folder, 'tokenizer.json');
  const text = await readText(path);
  if (text === null) {
    const reason = 'the folder has no tokenizer.json';
    throw new CorralError('model_unsupported', { params: { path: folder, reason } });
  }
  const configPath = join(folder, 'tokenizer_config.json');
  const config = await readText(configPath);
  const tokenizerConfig = config === null ? {} : parseObject(configPath, config);
  const template = await readText(join(folder, 'chat_template.jinja'));
  // Rebuilt from what a GGUF of this model would hold, so that training and serving see the same ids.
  const rebuilt = tokenizerJsonFromGguf(
    ggufTokenizerFromJson({ tokenizerJson: parseObject(path, text), tokenizerConfig }),
  );
  return {
    tokenizerJson: rebuilt.tokenizerJson,
    tokenizerConfig: {
      ...tokenizerConfig,
      ...rebuilt.tokenizerConfig,
      chat_template: template ?? defaultTemplate(tokenizerConfig['chat_template']),
    },
  };
}

/** tokenizer_config.json may hold one template or a list of named ones. */
function defaultTemplate(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const named = value as { name?: unknown; template?: unknown }[];
  return named.find(({ name }) => name === 'default')?.template;
}

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
    return (await stat(path)).isDirectory() ? await filesOfFolder(path) : await filesOfGguf(path);
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
