// An example as the model sees it: token ids, and for each id the loss weight of predicting it. The
// loss mask is decided here and nowhere else; the pieces that carry it are what `preview` shows.
import type { RunConfig } from '@corral/contracts';
import type { ChatTemplate, Piece } from './chat-template.ts';
import type { ChatExample, Example, TextExample } from './example.ts';
import { RowError } from './row-error.ts';
import type { TextTokenizer } from './tokenizer.ts';

export type LossScope = RunConfig['data']['loss_on'];

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

/**
 * The template's words after an assistant's content, cut behind its end-of-turn token, which is
 * learned with the content. Without a control token only the end of the whole text counts as one.
 */
function endOfTurn(text: string, weight: number, place: { end: number; isLast: boolean }) {
  const cut = place.end > 0 ? place.end : place.isLast ? text.length : 0;
  return [
    { text: text.slice(0, cut), weight, special: true },
    { text: text.slice(cut), weight: 0, special: true },
  ];
}

function weighPieces(example: ChatExample, encoder: Encoder, pieces: readonly Piece[]) {
  const { tokenizer, lossOn } = encoder;
  const all = lossOn === 'all' ? 1 : 0;
  return pieces.flatMap((piece, index): WeightedPiece[] => {
    const { text } = piece;
    if (piece.kind === 'name') return [{ text, weight: all, special: false }];
    if (piece.kind === 'content') {
      const weight = messageWeight(example, piece.message, lossOn);
      return [{ text, weight, special: false }];
    }
    const before = pieces[index - 1];
    const weight = before?.kind === 'content' ? messageWeight(example, before.message, lossOn) : 0;
    if (all || weight === 0) return [{ text, weight: all, special: true }];
    const end = tokenizer.endOfFirstControl(text);
    return endOfTurn(text, weight, { end, isLast: index === pieces.length - 1 });
  });
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

/**
 * A conversation in which the assistant calls tools: what the template prints for such a turn, beyond
 * its content, is learned too. It is found as the text between the prompt before the turn and its end.
 */
function weighToolTurns(example: ChatExample, encoder: Encoder): WeightedPiece[] {
  const { template, tokenizer, lossOn } = encoder;
  const { messages, tools } = example;
  refuseControls([tools, messages.map(({ tool_calls }) => tool_calls)], tokenizer);
  const full = template.render(messages, { tools, addGenerationPrompt: false });
  const text = full.map((piece) => piece.text).join('');
  const cuts = new Map<number, number>();
  messages.forEach((_, index) => {
    const weight = messageWeight(example, index, lossOn);
    if (weight === 0 || lossOn === 'all') return;
    const before = template.render(messages.slice(0, index), { tools, addGenerationPrompt: true });
    const prompt = before.map((piece) => piece.text).join('');
    const end = tokenizer.endOfFirstControl(text.slice(prompt.length));
    if (!text.startsWith(prompt) || end < 0) {
      throw new RowError(
        `messages[${index}]: the model's chat template does not show where this turn begins or ends`,
        'leave out tool calls for this model',
      );
    }
    cuts.set(prompt.length, weight);
    cuts.set(prompt.length + end, 0);
  });
  return cutPieces(full, cuts, lossOn === 'all' ? 1 : 0);
}

/** Pieces cut at character positions of the whole text, from where a new weight holds. */
function cutPieces(
  pieces: readonly Piece[],
  cuts: ReadonlyMap<number, number>,
  initial: number,
): WeightedPiece[] {
  const result: WeightedPiece[] = [];
  const places = [...cuts.keys()].toSorted((a, b) => a - b);
  let weight = initial;
  let start = 0;
  for (const piece of pieces) {
    const end = start + piece.text.length;
    let from = start;
    for (const place of places.filter((value) => value >= start && value < end)) {
      const special = piece.kind === 'template';
      result.push({ text: piece.text.slice(from - start, place - start), weight, special });
      weight = cuts.get(place) ?? weight;
      from = place;
    }
    result.push({
      text: piece.text.slice(from - start),
      weight,
      special: piece.kind === 'template',
    });
    start = end;
  }
  return result.filter(({ text }) => text !== '');
}

/** The rendered example cut where its weight or its trust changes. Throws RowError. */
export function weighExample(example: Example, encoder: Encoder): WeightedPiece[] {
  if (example.kind === 'text') return [{ text: example.text, weight: 1, special: false }];
  if (example.tools || example.messages.some((message) => message.tool_calls)) {
    return weighToolTurns(example, encoder);
  }
  const pieces = encoder.template.render(example.messages, { addGenerationPrompt: false });
  return weighPieces(example, encoder, pieces).filter(({ text }) => text !== '');
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

/** One conversation. Throws RowError when it is longer than the context or nothing is learned of it. */
export function encodeChat(example: ChatExample, encoder: Encoder): EncodedExample {
  const encoded = encodePieces(weighExample(example, encoder), encoder.tokenizer);
  if (encoded.tokens.length === 0) {
    throw new RowError('nothing is learned from it', 'give an assistant message with text');
  }
  if (encoded.tokens.length > encoder.contextLength) {
    throw new RowError(
      `${encoded.tokens.length} tokens do not fit context_length ${encoder.contextLength}`,
      'shorten or split the example, or raise data.context_length',
    );
  }
  return encoded;
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

/** Any example: one for a conversation, one or more for text. Throws RowError. */
export function encodeExample(example: Example, encoder: Encoder): EncodedExample[] {
  return example.kind === 'chat' ? [encodeChat(example, encoder)] : encodeText(example, encoder);
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
