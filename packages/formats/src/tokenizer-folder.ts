// The tokenizer of a Hugging Face folder, whichever files say it: tokenizer.json or a SentencePiece model,
// the small files beside them, and the chat template in any of its three places. Rebuilt from what a GGUF
// of this model would hold, so that training and serving see the same ids.
import { join } from 'node:path';
import { openFileSource } from './byte-source.ts';
import { FormatError, withPath } from './format-error.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import { maxConfigBytes, maxTokenizerBytes } from './limits.ts';
import { readJsonFile } from './read-json-file.ts';
import { isJsonObject, type JsonObject } from './strict-json.ts';
import { tokenizerJsonFromGguf, type TokenizerFiles } from './tokenizer-from-gguf.ts';
import { ggufTokenizerFromSentencePiece } from './tokenizer-from-sentencepiece.ts';
import { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

async function orAbsent<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function readObject(path: string, kind: 'config' | 'tokenizer'): Promise<JsonObject | null> {
  const value = await orAbsent(readJsonFile(path, kind));
  if (value === null || isJsonObject(value)) return value;
  throw new FormatError('it is not a JSON object', { path });
}

async function readBytes(path: string, limit: number): Promise<Uint8Array | null> {
  const source = await orAbsent(openFileSource(path));
  if (source === null) return null;
  await using open = source;
  if (open.size > limit)
    throw new FormatError(`it has ${open.size} bytes; the limit is ${limit}`, { path });
  return open.read(0, open.size);
}

/** tokenizer_config.json holds one template or a list of named ones; the default is the one for chats. */
function ownTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(isJsonObject);
  const found = named.find(({ name }) => name === 'default') ?? named[0];
  const template = found?.['template'];
  return typeof template === 'string' ? template : undefined;
}

async function readTemplate(folder: string, config: JsonObject): Promise<string | undefined> {
  const path = join(folder, 'chat_template.jinja');
  const bytes = await readBytes(path, maxConfigBytes);
  return bytes === null ? ownTemplate(config['chat_template']) : new TextDecoder().decode(bytes);
}

/** The settings, with the special tokens of special_tokens_map.json where they have none. */
async function readConfig(folder: string): Promise<JsonObject> {
  const config = (await readObject(join(folder, 'tokenizer_config.json'), 'config')) ?? {};
  const tokens = (await readObject(join(folder, 'special_tokens_map.json'), 'config')) ?? {};
  const named: JsonObject = {};
  for (const key of ['bos_token', 'eos_token', 'unk_token', 'pad_token'])
    if (tokens[key] !== undefined) named[key] = tokens[key];
  const set = Object.entries(config).filter(([, value]) => value !== null);
  const whole: JsonObject = { ...named, ...Object.fromEntries(set) };
  const template = await readTemplate(folder, config);
  const { chat_template: _template, ...rest } = whole;
  return template === undefined ? rest : { ...rest, chat_template: template };
}

async function readMetadata(folder: string, tokenizerConfig: JsonObject): Promise<GgufMetadata> {
  const path = join(folder, 'tokenizer.json');
  const tokenizerJson = await readObject(path, 'tokenizer');
  if (tokenizerJson !== null)
    return withPath(path, () => ggufTokenizerFromJson({ tokenizerJson, tokenizerConfig }));
  const modelPath = join(folder, 'tokenizer.model');
  const model = await readBytes(modelPath, maxTokenizerBytes);
  if (model === null)
    throw new FormatError('the folder has neither tokenizer.json nor tokenizer.model', {
      path: folder,
      code: 'model_unsupported',
    });
  const addedTokens = (await readObject(join(folder, 'added_tokens.json'), 'config')) ?? {};
  return withPath(modelPath, () =>
    ggufTokenizerFromSentencePiece({ model, tokenizerConfig, addedTokens }),
  );
}

/** Throws FormatError with the file that cannot be used. */
export async function readTokenizerFolder(folder: string): Promise<TokenizerFiles> {
  const tokenizerConfig = await readConfig(folder);
  const metadata = await readMetadata(folder, tokenizerConfig);
  const rebuilt = await withPath(folder, () => tokenizerJsonFromGguf(metadata));
  return {
    tokenizerJson: rebuilt.tokenizerJson,
    tokenizerConfig: { ...tokenizerConfig, ...rebuilt.tokenizerConfig },
  };
}
