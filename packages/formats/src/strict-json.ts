// JSON for hostile files: like JSON.parse, but duplicate keys and deep nesting are errors. JSON.parse takes
// the last of two equal keys silently, so two readers could see two different tensors under one name.
import { FormatError } from './format-error.ts';
import { maxJsonDepth } from './limits.ts';

interface Frame {
  /** Keys of the object so far; undefined inside an array. */
  readonly keys: Set<string> | undefined;
  /** The next string in an object is a key. */
  expectsKey: boolean;
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const letter = text[i];
    if (letter === '\\') i++;
    else if (letter === '"') return i;
  }
  return text.length - 1;
}

/** Throws on a duplicate key or on nesting deeper than the limit. `text` is known to be valid JSON. */
function checkKeysAndDepth(text: string, what: string): void {
  const frames: Frame[] = [];
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    const frame = frames.at(-1);
    if (letter === '{' || letter === '[') {
      if (frames.length >= maxJsonDepth)
        throw new FormatError(`${what} nests deeper than ${maxJsonDepth}`);
      frames.push({ keys: letter === '{' ? new Set() : undefined, expectsKey: letter === '{' });
    } else if (letter === '}' || letter === ']') {
      frames.pop();
    } else if (letter === ',') {
      if (frame?.keys) frame.expectsKey = true;
    } else if (letter === '"') {
      const end = endOfString(text, i);
      if (frame?.keys && frame.expectsKey) {
        const key = JSON.parse(text.slice(i, end + 1)) as string;
        if (frame.keys.has(key)) throw new FormatError(`${what} has the key "${key}" twice`);
        frame.keys.add(key);
        frame.expectsKey = false;
      }
      i = end;
    }
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 bytes as JSON. `what` names the document in errors. */
export function parseStrictJson(bytes: Uint8Array, what: string): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw new FormatError(`${what} is not UTF-8`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${what} is not JSON: ${String((cause as Error).message)}`, { cause });
  }
  checkKeysAndDepth(text, what);
  return value;
}

export type JsonObject = { [key: string]: unknown };

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
