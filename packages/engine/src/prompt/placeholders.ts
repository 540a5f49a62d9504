// Keeps apart what a template wrote and what people wrote: the template sees a placeholder for every text
// of people, tools and models, and its output is cut there. A placeholder shows what the template did with
// it: whether it was trimmed, and whether it was written as JSON.
import { dumpJson, type JsonLayout } from './python-json.ts';

export interface PromptPiece {
  readonly text: string;
  /** `template`: may write control tokens. `content`: written by people, tools or models; may not. */
  readonly origin: 'template' | 'content';
}

// Private-use characters around a number and a quote that JSON would escape, between spaces that trimming
// would take.
const open = '\ue000';
const close = '\ue001';
const margin = '\u2003';
const found = new RegExp(String.raw`(${margin}?)${open}(\d+)${close}(\\*)"(${margin}?)`, 'g');

interface Entry {
  readonly text: string;
  /** Stands for a JSON value: where the template writes it as a JSON string, the quotes go. */
  readonly json: boolean;
}

export interface Placeholders {
  /** Stands for a text; an empty one stays empty, for templates ask whether there is one. */
  text(content: string): string;
  /** Stands for the JSON of a value. */
  json(value: unknown, layout: JsonLayout): string;
  /** The value with every name and string in it that is not a word of JSON schema replaced. */
  leaves(value: unknown): unknown;
  /** The output of the template in pieces. */
  cut(rendered: string): PromptPiece[];
  /** True when the placeholder is part of the output. */
  isIn(rendered: string, placeholder: string): boolean;
}

const escapes = (backslashes: number): number => Math.log2(backslashes + 1);

function escapedText(text: string, times: number): string {
  let escaped = text;
  for (let i = 0; i < times; i++) escaped = JSON.stringify(escaped).slice(1, -1);
  return escaped;
}

/** Words that templates compare with. */
const schemaWords: ReadonlySet<string> = new Set([
  ...['function', 'object', 'array', 'string', 'number', 'integer', 'boolean', 'null'],
  ...['type', 'name', 'description', 'parameters', 'properties', 'required', 'items', 'enum'],
  ...['additionalProperties', 'anyOf', 'oneOf', 'allOf', 'default', 'format', 'minimum', 'maximum'],
]);

export function createPlaceholders(): Placeholders {
  const entries: Entry[] = [];
  const add = (entry: Entry): string =>
    `${margin}${open}${entries.push(entry) - 1}${close}"${margin}`;
  const text = (content: string): string =>
    content === '' ? '' : add({ text: content, json: false });

  function leaves(value: unknown): unknown {
    if (typeof value === 'string') return schemaWords.has(value) ? value : text(value);
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(leaves);
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        schemaWords.has(key) ? key : text(key),
        leaves(item),
      ]),
    );
  }

  function cut(rendered: string): PromptPiece[] {
    const pieces: PromptPiece[] = [];
    const push = (piece: string, origin: PromptPiece['origin']): void => {
      if (piece !== '') pieces.push({ text: piece, origin });
    };
    let end = 0;
    for (const match of rendered.matchAll(found)) {
      const [whole, before, id, slashes = '', after] = match;
      const entry = entries[Number(id)];
      let [from, to] = [match.index, match.index + whole.length];
      let times = escapes(slashes.length);
      if (entry?.json && times === 1 && rendered[from - 1] === '"' && rendered[to] === '"') {
        [from, to, times] = [from - 1, to + 1, 0];
      }
      let content = escapedText(entry?.text ?? '', times);
      if (before === '') content = content.trimStart();
      if (after === '') content = content.trimEnd();
      push(rendered.slice(end, from), 'template');
      push(content, 'content');
      end = to;
    }
    push(rendered.slice(end), 'template');
    return pieces;
  }

  return {
    text,
    json: (value, layout) => add({ text: dumpJson(value, layout), json: true }),
    leaves,
    cut,
    isIn: (rendered, placeholder) =>
      placeholder === '' || rendered.includes(placeholder.slice(1, placeholder.indexOf(close) + 1)),
  };
}
