// Reads the small JSON files beside weights, with a bound on their size.
import { openFileSource } from './byte-source.ts';
import { FormatError, withPath } from './format-error.ts';
import { maxConfigBytes, maxTokenizerBytes } from './limits.ts';
import { parseStrictJson } from './strict-json.ts';

const maxBytes = { config: maxConfigBytes, tokenizer: maxTokenizerBytes };

/** `kind` chooses the size limit. FormatError when it is too large or no JSON; Node's error when absent. */
export async function readJsonFile(path: string, kind: keyof typeof maxBytes): Promise<unknown> {
  await using source = await openFileSource(path);
  const limit = maxBytes[kind];
  if (source.size > limit)
    throw new FormatError(`it has ${source.size} bytes; the limit is ${limit}`, { path });
  const bytes = await source.read(0, source.size);
  return withPath(path, () => parseStrictJson(bytes, 'the file'));
}
