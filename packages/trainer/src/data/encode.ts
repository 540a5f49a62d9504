// An example as the model sees it: token ids, and for each id the loss weight of predicting it. The
// loss mask is decided here and nowhere else; the pieces that carry it are what `preview` shows.
import type { RunConfig } from '@corral/contracts';
import type { ChatTemplate, Piece } from './chat-template.ts';
import type { ChatExample, Example, PreferenceExample, TextExample } from './example.ts';
import { RowError, TooLongError } from './row-error.ts';
import type { TextTokenizer } from './tokenizer.ts';

type LossScope = RunConfig['data']['loss_on'];

export interface EncodedExample {
  /** [n] */
  readonly tokens: Int32Array;
  /** [n] weight of the loss of predicting tokens[i]; 0 for the first and for what is given. */
  readonly weights: Float32Array;
}

/** Rendered text with one loss weight. */
export interface WeightedPiece {
  readonly text: string;
  readonly weight: number;
  /** Control tokens on. */
  readonly special: boolean;
}

export interface Encoder {
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  readonly lossOn: LossScope;
  readonly contextLength: number;
  /** What becomes of longer conversations; without it they are an error. */
  readonly truncate?: RunConfig['data']['truncate'];
}

/**
 * Weight of each message: `assistant` its own weight (default 1), `last` only the last assistant
 * message, `all` everything.
 */
function messageWeight({ messages }: ChatExample, index: number, scope: LossScope): number {
  if (scope === 'all') return 1;
  const message = messages[index];
  if (message?.role !== 'assistant') return 0;
  if (scope === 'last' && index !== messages.length - 1) return 0;
  return message.weight ?? 1;
}

/** Text inside tool definitions and calls is printed by the template itself: it may not hold controls. */
function refuseControls(value: unknown, tokenizer: TextTokenizer): void {
  const text = JSON.stringify(value) ?? '';
  if (tokenizer.endOfFirstControl(text) >= 0) {
    throw new RowError(
      'a tool definition or tool call contains a control token of this model',
      'remove the control token from its text',
    );
  }
}

const joined = (pieces: readonly Piece[]): string => pieces.map(({ text }) => text).join('');

/** The prompt before message `index`, as it is when the answer is asked for; null when there is none. */
function promptBefore(example: ChatExample, index: number, { template }: Encoder): string | null {
  const { messages, tools } = example;
  try {
    return joined(template.render(messages.slice(0, index), { tools, addGenerationPrompt: true }));
  } catch (error) {
    if (error instanceof RowError) return null;
    throw error;
  }
}

/** Where a piece begins in the joined text. */
const startOf = (pieces: readonly Piece[], index: number): number =>
  joined(pieces.slice(0, index)).length;

/**
 * The part of the text that message `index` writes, [start, end): from where the prompt for it ends (a
 * template may put a space or more before the content) to behind its end-of-turn token.
 */
function turnOf(example: ChatExample, index: number, encoder: Encoder, pieces: readonly Piece[]) {
  const content = pieces.findIndex((piece) => piece.kind === 'content' && piece.message === index);
  const prompt = promptBefore(example, index, encoder);
  const fits = prompt !== null && joined(pieces).startsWith(prompt);
  const contentStart = content < 0 ? Infinity : startOf(pieces, content);
  const start = fits ? Math.min(prompt.length, contentStart) : contentStart;
  if (start === Infinity) {
    throw new RowError(
      `messages[${index}]: the model's chat template does not show where this turn begins`,
      'leave out tool calls for this model',
    );
  }
  // The end-of-turn token is looked for in the template's words only.
  const after =
    content < 0 ? pieces.findLastIndex((_, i) => startOf(pieces, i) <= start) : content + 1;
  const from = Math.max(start, startOf(pieces, after));
  const words = pieces[after]?.text.slice(from - startOf(pieces, after)) ?? '';
  const end = encoder.tokenizer.endOfFirstControl(words);
  // Without a control token only the end of the whole text counts as an end of turn.
  const length = end > 0 ? end : after === pieces.length - 1 ? words.length : 0;
  return { start, end: from + length };
}

/** Pieces cut at places of the joined text, from each of which a new weight holds. */
function cutPieces(
  pieces: readonly Piece[],
  cuts: ReadonlyMap<number, number>,
  initial: number,
): WeightedPiece[] {
  const result: WeightedPiece[] = [];
  const places = [...cuts.keys()].toSorted((a, b) => a - b);
  let weight = initial;
  let start = 0;
  for (const { kind, text } of pieces) {
    const special = kind === 'template';
    const end = start + text.length;
    let from = start;
    for (const place of places.filter((value) => value >= start && value < end)) {
      result.push({ text: text.slice(from - start, place - start), weight, special });
      weight = cuts.get(place) ?? weight;
      from = place;
    }
    result.push({ text: text.slice(from - start), weight, special });
    start = end;
  }
  return result.filter(({ text }) => text !== '');
}

/** The rendered example cut where its weight or its trust changes. Throws RowError. */
export function weighExample(
  example: ChatExample | TextExample,
  encoder: Encoder,
): WeightedPiece[] {
  if (example.kind === 'text') return [{ text: example.text, weight: 1, special: false }];
  const { messages, tools } = example;
  refuseControls([tools, messages.map(({ tool_calls }) => tool_calls)], encoder.tokenizer);
  const pieces = encoder.template.render(messages, { tools, addGenerationPrompt: false });
  if (encoder.lossOn === 'all') return cutPieces(pieces, new Map(), 1);
  const cuts = new Map<number, number>();
  messages.forEach((_, index) => {
    const weight = messageWeight(example, index, encoder.lossOn);
    if (weight === 0) return;
    const { start, end } = turnOf(example, index, encoder, pieces);
    cuts.set(start, weight);
    cuts.set(end, 0);
  });
  return cutPieces(pieces, cuts, 0);
}

function encodePieces(pieces: readonly WeightedPiece[], tokenizer: TextTokenizer): EncodedExample {
  const ids: number[] = [];
  const weights: number[] = [];
  pieces.forEach(({ text, weight, special }, index) => {
    // A template piece that the mask cut behind a control token goes on as if it had not been cut.
    const goesOn =
      special && pieces[index - 1]?.special === true && tokenizer.isControl(ids.at(-1) ?? -1);
    for (const id of tokenizer.encode(text, { special, first: index === 0 || goesOn })) {
      ids.push(id);
      weights.push(weight);
    }
  });
  const whole = tokenizer.withBos(ids);
  if (whole.length > ids.length) weights.unshift(0);
  // Nothing predicts the first token.
  if (weights.length > 0) weights[0] = 0;
  // What follows the last scored token changes nothing: it is not fed.
  const end = weights.findLastIndex((weight) => weight > 0) + 1;
  return {
    tokens: Int32Array.from(whole.slice(0, end)),
    weights: Float32Array.from(weights.slice(0, end)),
  };
}

/** The beginning that fits, up to its last scored token; null when none of it is scored. */
function cutToFit({ tokens, weights }: EncodedExample, length: number): EncodedExample | null {
  const end = weights.subarray(0, length).findLastIndex((weight) => weight > 0) + 1;
  if (end === 0) return null;
  return { tokens: tokens.slice(0, end), weights: weights.slice(0, end) };
}

/**
 * One conversation. Throws RowError when nothing is learned of it, TooLongError when it is longer than the
 * context and may not be cut, or nothing is left to learn when it is.
 */
export function encodeChat(example: ChatExample, encoder: Encoder): EncodedExample {
  const { contextLength, truncate } = encoder;
  const encoded = encodePieces(weighExample(example, encoder), encoder.tokenizer);
  if (encoded.tokens.length === 0) {
    throw new RowError('nothing is learned from it', 'give an assistant message with text');
  }
  if (encoded.tokens.length <= contextLength) return encoded;
  const cut = truncate === 'cut' ? cutToFit(encoded, contextLength) : null;
  if (cut === null) throw new TooLongError(encoded.tokens.length, contextLength);
  return cut;
}

/**
 * Plain text: BOS when the tokenizer asks for it, the text, EOS; cut into blocks of the context length.
 * A block's first token is given, not predicted, so each token but the document's first is learned once.
 */
export function encodeText(example: TextExample, encoder: Encoder): EncodedExample[] {
  const { tokenizer, contextLength } = encoder;
  const { opens = true, closes = true, text } = example;
  const plain = tokenizer.encode(text, { special: false, first: opens });
  const ids = opens ? tokenizer.withBos(plain) : plain;
  if (closes && tokenizer.eosId !== null) ids.push(tokenizer.eosId);
  const blocks: EncodedExample[] = [];
  // A block begins with the last token of the one before it, as its context.
  for (let start = 0; start + 1 < ids.length; start += contextLength - 1) {
    const tokens = Int32Array.from(ids.slice(start, start + contextLength));
    const weights = new Float32Array(tokens.length).fill(1);
    weights[0] = 0;
    blocks.push({ tokens, weights });
  }
  return blocks;
}

/** The two conversations of a pair, chosen first; only the assistant turns of the answers count. */
export function conversationsOfPair({
  prompt,
  chosen,
  rejected,
  tools,
}: PreferenceExample): [ChatExample, ChatExample] {
  const given = prompt.map((message) =>
    message.role === 'assistant' ? { ...message, weight: 0 } : message,
  );
  const conversation = (answer: PreferenceExample['chosen']): ChatExample => ({
    kind: 'chat',
    messages: [...given, ...answer],
    ...(tools ? { tools } : {}),
  });
  return [conversation(chosen), conversation(rejected)];
}

/** Chosen, then rejected; `lossOn` does not matter. Throws RowError when either cannot be used. */
function encodePair(example: PreferenceExample, encoder: Encoder): EncodedExample[] {
  return conversationsOfPair(example).map((conversation, side) => {
    try {
      return encodeChat(conversation, { ...encoder, lossOn: 'assistant' });
    } catch (error) {
      if (!(error instanceof RowError) || error instanceof TooLongError) throw error;
      throw new RowError(`${side === 0 ? 'chosen' : 'rejected'}: ${error.reason}`, error.fix);
    }
  });
}

/** Any example: one for a conversation, two for a pair, any number for text. Throws RowError. */
export function encodeExample(example: Example, encoder: Encoder): EncodedExample[] {
  switch (example.kind) {
    case 'chat':
      return [encodeChat(example, encoder)];
    case 'preference':
      return encodePair(example, encoder);
    case 'text':
      return encodeText(example, encoder);
    default:
      return example satisfies never;
  }
}

/** Ids of a prompt that waits for the assistant's answer, as the engine must see them. */
export function encodePrompt(
  messages: ChatExample['messages'],
  { tokenizer, template }: Pick<Encoder, 'tokenizer' | 'template'>,
): number[] {
  const pieces = template.render(messages, { addGenerationPrompt: true });
  return tokenizer.withBos(
    pieces.flatMap(({ kind, text }, index) =>
      tokenizer.encode(text, { special: kind === 'template', first: index === 0 }),
    ),
  );
}
