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
  readonly vocabularySize: number;
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

/** Matches any control token, the longest first; null when there is none. */
function controlPattern(tokens: readonly AddedToken[]): RegExp | null {
  if (tokens.length === 0) return null;
  const contents = tokens.map(({ content }) => content).filter((content) => content !== '');
  contents.sort((a, b) => b.length - a.length);
  return new RegExp(contents.map(escapeRegExp).join('|'), 'g');
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
  return {
    controls: readAddedTokens(json).filter(({ special }) => special),
    prefixes,
    /** Knows no control tokens, so no text can reach them. */
    inner: new HuggingFaceTokenizer(plain.tokenizerJson, config),
  };
}

const decodeOptions = { skip_special_tokens: false, clean_up_tokenization_spaces: false };

/** Control tokens by their text, what lies between them by `decode`. */
function decodeRuns(
  ids: readonly number[],
  controls: ReadonlyMap<number, AddedToken>,
  decode: (run: number[]) => string,
): string {
  let text = '';
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) text += decode(run);
    run = [];
  };
  for (const id of ids) {
    const control = controls.get(id);
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

/** A tokenizer from Hugging Face's two JSON objects. Throws CorralError `model_unsupported`. */
export function createTokenizer(files: TokenizerFiles, path: string): TextTokenizer {
  const { tokenizerJson, tokenizerConfig: config } = files;
  let built: ReturnType<typeof build>;
  try {
    built = build(tokenizerJson, config);
  } catch (error) {
    const reason = `its tokenizer cannot be read (${error instanceof Error ? error.message : String(error)})`;
    throw new CorralError('model_unsupported', { params: { path, reason }, cause: error });
  }
  const { controls, prefixes, inner } = built;
  const byContent = new Map(controls.map((token) => [token.content, token]));
  const byId = new Map(controls.map((token) => [token.id, token]));
  const idOf = (token: string) => byContent.get(token)?.id ?? inner.token_to_id(token);
  const pattern = controlPattern(controls);
  const bosToken = tokenText(config['bos_token']);
  const eosToken = tokenText(config['eos_token']);
  const bosId = bosToken === '' ? undefined : idOf(bosToken);
  const eosId = eosToken === '' ? undefined : idOf(eosToken);
  const addsBos = wantsBos(config, tokenizerJson, bosToken);
  const template = config['chat_template'];

  const plainIds = (text: string, prefix: boolean): number[] => {
    if (text === '') return [];
    const { ids } = inner.encode(prefix && prefixes ? ` ${text}` : text, {
      add_special_tokens: false,
    });
    const at = ids.findIndex((id: number) => byId.has(id));
    return at < 0 ? ids : breakControl(text, prefix, ids);
  };
  // A vocabulary whose merges can spell a control token: the text is cut inside it.
  const breakControl = (text: string, prefix: boolean, ids: readonly number[]): number[] => {
    const found = pattern && text.search(pattern);
    const cut = found === null || found < 0 ? Math.max(1, text.length >> 1) : found + 1;
    if (cut >= text.length) return ids.filter((id) => !byId.has(id));
    return [...plainIds(text.slice(0, cut), prefix), ...plainIds(text.slice(cut), false)];
  };
  const encode = (text: string, { special, first }: EncodeOptions): number[] => {
    if (!special || !pattern) return plainIds(text, first);
    const ids: number[] = [];
    let start = 0;
    let prefix = first;
    let strip = false;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      let section = text.slice(start, match.index);
      if (strip) section = section.trimStart();
      if (token?.lstrip) section = section.trimEnd();
      for (const id of plainIds(section, prefix)) ids.push(id);
      if (token) ids.push(token.id);
      start = match.index + match[0].length;
      prefix = true;
      strip = token?.rstrip ?? false;
    }
    const rest = text.slice(start);
    for (const id of plainIds(strip ? rest.trimStart() : rest, prefix)) ids.push(id);
    return ids;
  };
  return {
    bosId: bosId ?? null,
    eosId: eosId ?? null,
    bosToken,
    eosToken,
    chatTemplate: typeof template === 'string' && template !== '' ? template : null,
    vocabularySize: Math.max(inner.get_vocab().size, ...controls.map(({ id }) => id + 1)),
    encode,
    withBos: (ids) =>
      addsBos && bosId !== undefined && ids[0] !== bosId ? [bosId, ...ids] : [...ids],
    decode: (ids) => decodeRuns(ids, byId, (run) => inner.decode(run, decodeOptions)),
    isControl: (id) => byId.has(id),
    idOf,
    endOfFirstControl: (text) => {
      if (!pattern) return -1;
      const match = new RegExp(pattern.source).exec(text);
      return match ? match.index + match[0].length : -1;
    },
  };
}
