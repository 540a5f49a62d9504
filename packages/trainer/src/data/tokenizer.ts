// Text to token ids and back, over @huggingface/tokenizers, with the two modes that keep user text apart
// from control tokens: `special` text (the template's) may hold control tokens, other text never does.
//
// Rules that the serving engine follows too (parity compares prompt ids one by one):
//  1. `special: false`: control tokens ("special" in tokenizer.json, CONTROL/UNKNOWN in GGUF) are plain
//     text; added tokens that are not special are still matched. llama_tokenize(parse_special = false).
//  2. SentencePiece: a section gets a space prefix when it follows a control token of its own piece, or
//     when it is the very start of the prompt (`first`). No other piece gets one. With llama.cpp, where
//     each call adds a prefix: tokenise "\n" + piece and drop the first two ids.
//  3. BOS is added once, by the caller of `withBos`: when the tokenizer asks for it and the ids do not
//     begin with it already.
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { CorralError } from '@corral/contracts';
import { type TokenizerFiles, plainTextTokenizer } from '@corral/formats';
import { createWordEncoder } from './word-encoder.ts';

type JsonObject = Record<string, unknown>;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

interface EncodeOptions {
  /** Whether control tokens in the text become control ids. */
  readonly special: boolean;
  /** Whether the text begins the prompt (matters for SentencePiece's space prefix). */
  readonly first: boolean;
}

export interface TextTokenizer {
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Jinja source, or null when the model brings none. */
  readonly chatTemplate: string | null;
  encode(text: string, options: EncodeOptions): number[];
  /** The ids with BOS before them when the tokenizer asks for it and it is not there yet. */
  withBos(ids: readonly number[]): number[];
  decode(ids: readonly number[]): string;
  isControl(id: number): boolean;
  idOf(token: string): number | undefined;
  /** End of the first control token in the text, or -1. */
  endOfFirstControl(text: string): number;
}

const asObject = (value: unknown): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};

const tokenText = (value: unknown): string => {
  const text = typeof value === 'string' ? value : asObject(value)['content'];
  return typeof text === 'string' ? text : '';
};

/** Steps of a normalizer or pre-tokenizer, with a Sequence opened. */
function steps(part: unknown): JsonObject[] {
  const object = asObject(part);
  const list = object['normalizers'] ?? object['pretokenizers'];
  if (Array.isArray(list)) return list.map(asObject);
  return object['type'] === undefined ? [] : [object];
}

/** tokenizer.json without its own space prefix; the prefix is added here by rule 2. */
function withoutPrefix(json: JsonObject): { json: JsonObject; prefixes: boolean } {
  const normalizers = steps(json['normalizer']);
  const preTokenizers = steps(json['pre_tokenizer']);
  const metaspace = preTokenizers.find(({ type }) => type === 'Metaspace');
  const prefixes =
    normalizers.some(({ type }) => type === 'Prepend') ||
    (metaspace !== undefined && metaspace['prepend_scheme'] !== 'never');
  if (!prefixes) return { json, prefixes };
  const kept = normalizers.filter(({ type }) => type !== 'Prepend');
  const changed = preTokenizers.map((step) =>
    step === metaspace ? { ...step, prepend_scheme: 'never', add_prefix_space: false } : step,
  );
  return {
    prefixes,
    json: {
      ...json,
      normalizer: kept.length === 0 ? null : { type: 'Sequence', normalizers: kept },
      pre_tokenizer: changed.length === 0 ? null : { type: 'Sequence', pretokenizers: changed },
    },
  };
}

function readAddedTokens(json: JsonObject): AddedToken[] {
  const list = Array.isArray(json['added_tokens']) ? json['added_tokens'] : [];
  return list.map(asObject).map((token) => ({
    id: Number(token['id']),
    content: tokenText(token),
    special: token['special'] === true,
    lstrip: token['lstrip'] === true,
    rstrip: token['rstrip'] === true,
  }));
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The control tokens of a vocabulary, to be looked up and to be found in text (the longest first). */
function indexControls(tokens: readonly AddedToken[]) {
  const contents = tokens.map(({ content }) => content).filter((content) => content !== '');
  const source = contents
    .toSorted((a, b) => b.length - a.length)
    .map(escapeRegExp)
    .join('|');
  return {
    byContent: new Map(tokens.map((token) => [token.content, token])),
    byId: new Map(tokens.map((token) => [token.id, token])),
    first: source === '' ? null : new RegExp(source),
    all: source === '' ? null : new RegExp(source, 'g'),
  };
}

/** Whether `config` or, in its absence, the post-processor of tokenizer.json puts BOS first. */
function wantsBos(config: JsonObject, json: JsonObject, bosToken: string): boolean {
  if (bosToken === '') return false;
  if (typeof config['add_bos_token'] === 'boolean') return config['add_bos_token'];
  const post = asObject(json['post_processor']);
  const processors = Array.isArray(post['processors']) ? post['processors'].map(asObject) : [post];
  return processors.some(({ single }) => {
    const begin = Array.isArray(single) ? asObject(asObject(single[0])['SpecialToken']) : {};
    return begin['id'] === bosToken;
  });
}

function build(json: JsonObject, config: JsonObject) {
  const { json: bare, prefixes } = withoutPrefix(json);
  const plain = plainTextTokenizer({ tokenizerJson: bare, tokenizerConfig: config });
  /** Knows no control tokens, so no text can reach them. */
  const inner = new HuggingFaceTokenizer(plain.tokenizerJson, config);
  const added = readAddedTokens(json);
  return {
    controls: indexControls(added.filter(({ special }) => special)),
    /** Tokens that are found in plain text, too. */
    found: indexControls(added.filter(({ special }) => !special)),
    prefixes,
    inner,
    words: createWordEncoder(plain.tokenizerJson, inner),
  };
}

type Parts = ReturnType<typeof build>;

const decodeOptions = { skip_special_tokens: false, clean_up_tokenization_spaces: false };

/** Control tokens by their text, what lies between them by the tokenizer. */
function decode({ inner, controls }: Parts, ids: readonly number[]): string {
  let text = '';
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) text += inner.decode(run, decodeOptions);
    run = [];
  };
  for (const id of ids) {
    const control = controls.byId.get(id);
    if (control) {
      flush();
      text += control.content;
    } else {
      run.push(id);
    }
  }
  flush();
  return text;
}

type PlainEncoder = (text: string, prefix: boolean) => number[];

/** Ids of text in which nothing is a control token. */
function createPlainEncoder({ inner, words, prefixes, controls, found }: Parts): PlainEncoder {
  const whole = (text: string): number[] =>
    words && !found.first?.test(text)
      ? words(text)
      : inner.encode(text, { add_special_tokens: false }).ids;
  const encode: PlainEncoder = (text, prefix) => {
    if (text === '') return [];
    const ids = whole(prefix && prefixes ? ` ${text}` : text);
    return ids.some((id: number) => controls.byId.has(id)) ? cut(text, prefix, ids) : ids;
  };
  // A vocabulary whose merges can spell a control token: the text is cut inside it, as the engine does.
  const cut = (text: string, prefix: boolean, ids: readonly number[]): number[] => {
    const look = controls.first === null ? -1 : text.search(controls.first);
    const place = look < 0 ? Math.max(1, text.length >> 1) : look + 1;
    if (place >= text.length) return ids.filter((id) => !controls.byId.has(id));
    return [...encode(text.slice(0, place), prefix), ...encode(text.slice(place), false)];
  };
  return encode;
}

/** Ids of text in which control tokens are found. */
function createTemplateEncoder({ controls }: Parts, plain: PlainEncoder): PlainEncoder {
  return (text, first) => {
    const ids: number[] = [];
    let start = 0;
    let prefix = first;
    let strip = false;
    const add = (section: string, token: AddedToken | undefined): void => {
      const begun = strip ? section.trimStart() : section;
      for (const id of plain(token?.lstrip ? begun.trimEnd() : begun, prefix)) ids.push(id);
      if (token) ids.push(token.id);
    };
    for (const match of controls.all === null ? [] : text.matchAll(controls.all)) {
      const token = controls.byContent.get(match[0]);
      add(text.slice(start, match.index), token);
      start = match.index + match[0].length;
      prefix = true;
      strip = token?.rstrip ?? false;
    }
    add(text.slice(start), undefined);
    return ids;
  };
}

/** A tokenizer from Hugging Face's two JSON objects. Throws CorralError `model_unsupported`. */
export function createTokenizer(files: TokenizerFiles, path: string): TextTokenizer {
  const { tokenizerJson, tokenizerConfig: config } = files;
  let parts: Parts;
  try {
    parts = build(tokenizerJson, config);
  } catch (error) {
    const reason = `its tokenizer cannot be read (${error instanceof Error ? error.message : String(error)})`;
    throw new CorralError('model_unsupported', { params: { path, reason }, cause: error });
  }
  const { controls, inner } = parts;
  const idOf = (token: string) =>
    token === '' ? undefined : (controls.byContent.get(token)?.id ?? inner.token_to_id(token));
  const bosToken = tokenText(config['bos_token']);
  const eosToken = tokenText(config['eos_token']);
  const bosId = idOf(bosToken);
  const addsBos = wantsBos(config, tokenizerJson, bosToken);
  const template = config['chat_template'];
  const plain = createPlainEncoder(parts);
  const withControls = createTemplateEncoder(parts, plain);
  return {
    bosId: bosId ?? null,
    eosId: idOf(eosToken) ?? null,
    bosToken,
    eosToken,
    chatTemplate: typeof template === 'string' && template !== '' ? template : null,
    encode: (text, { special, first }) => (special ? withControls : plain)(text, first),
    withBos: (ids) =>
      addsBos && bosId !== undefined && ids[0] !== bosId ? [bosId, ...ids] : [...ids],
    decode: (ids) => decode(parts, ids),
    isControl: (id) => controls.byId.has(id),
    idOf,
    endOfFirstControl: (text) => {
      const match = controls.first?.exec(text);
      return match ? match.index + match[0].length : -1;
    },
  };
}
