// From the pieces of a prompt to token ids. The rule, shared with the trainer: each piece is tokenised by
// itself, the template's with special tokens on, contents with special tokens off; SentencePiece's space
// comes before the first piece and behind control tokens inside a piece, before no other piece; BOS as the
// vocabulary says, never doubled.
import {
  CorralError,
  type Prompt,
  type RenderResult,
  type ToolDefinition,
} from '@corral/contracts';
import type { ChatTemplate } from './chat-template.ts';
import { contentTokens } from './content-tokens.ts';
import type { PromptPiece } from './placeholders.ts';
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';

/** A prompt longer than this is tokenised in parts first, to see whether it can fit at all. */
const probeCharacters = 16_384;

/**
 * Text of the template. Behind a control token a SentencePiece vocabulary puts its space, as llama.cpp
 * does and as Llama 2 was trained; at the start of a piece only when the piece begins the prompt.
 */
function templateTokens(vocabulary: NativeVocabulary, text: string, first: boolean): number[] {
  const whole = vocabulary.tokenize(text, { special: true, spacePrefix: first });
  if (first || vocabulary.kind !== 'sentencepiece') return whole;
  const control = whole.findIndex((token) => vocabulary.isControl(token));
  if (control < 0) return whole;
  const rest = text.slice(text.indexOf(vocabulary.spelling(whole[control] as number)));
  return [
    ...whole.slice(0, control),
    ...vocabulary.tokenize(rest, { special: true, spacePrefix: true }),
  ];
}

function withBos(vocabulary: NativeVocabulary, tokens: number[]): number[] {
  const { addBos, bos } = vocabulary;
  return addBos && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
}

/** Token ids of a rendered prompt, and where its last content begins. */
function tokenizePieces(
  vocabulary: NativeVocabulary,
  pieces: readonly PromptPiece[],
): { tokens: number[]; boundary: number } {
  const tokens: number[] = [];
  const last = pieces.findLastIndex(({ origin }) => origin === 'content');
  let boundary = 0;
  for (const [i, { text, origin }] of pieces.entries()) {
    if (i === last) boundary = tokens.length;
    const tokenize = origin === 'template' ? templateTokens : contentTokens;
    const ids = tokenize(vocabulary, text, i === 0);
    for (const id of ids) tokens.push(id);
  }
  const whole = withBos(vocabulary, tokens);
  return { tokens: whole, boundary: boundary + whole.length - tokens.length };
}

/**
 * Refuses text that cannot fit before all of it is tokenised: a megabyte blocks for seconds. Counts in
 * parts of 16 Ki characters; a cut changes the count by a token or two, so the sum is a fair estimate.
 */
function checkLength(
  vocabulary: NativeVocabulary,
  pieces: readonly PromptPiece[],
  limits: PromptLimits,
): void {
  // Of many short pieces as of one long one.
  if (pieces.reduce((sum, { text }) => sum + text.length, 0) <= probeCharacters) return;
  let count = 0;
  for (const { text } of pieces) {
    for (let at = 0; at < text.length; at += probeCharacters) {
      const part = text.slice(at, at + probeCharacters);
      count += vocabulary.tokenize(part, { special: false, spacePrefix: false }).length;
      // The rest is not counted, so its length is not known.
      if (count > limits.contextTokens + 64)
        throw tooLong(`more than ${limits.contextTokens}`, limits);
    }
  }
}

const tooLong = (count: number | string, { contextTokens, maxTokens }: PromptLimits): CorralError =>
  new CorralError('context_length_exceeded', {
    params: { prompt_tokens: count, max_tokens: maxTokens, n_ctx: contextTokens },
    param: 'messages',
  });

export interface PromptLimits {
  readonly contextTokens: number;
  /** Tokens to generate after the prompt. */
  readonly maxTokens: number;
}

function checkIds(vocabulary: NativeVocabulary, tokens: readonly number[]): void {
  const wrong = tokens.find((token) => token >= vocabulary.size);
  if (wrong === undefined) return;
  const reason = `token ${wrong} is not in the vocabulary of ${vocabulary.size} tokens`;
  throw new CorralError('invalid_request', { params: { reason }, param: 'prompt' });
}

/** What ids stand for; control tokens have no text. */
const textOf = (vocabulary: NativeVocabulary, tokens: readonly number[]): string =>
  Buffer.concat(tokens.map((token) => vocabulary.piece(token))).toString('utf8');

/** With `tool_choice` none the model is not told of tools. */
const offeredTools = ({
  tools = [],
  tool_choice,
}: Extract<Prompt, { kind: 'messages' }>): readonly ToolDefinition[] =>
  tool_choice === 'none' ? [] : tools;

export interface RenderedPrompt extends RenderResult {
  /** Token at which the last content begins: prompts of one conversation are equal before it. */
  readonly boundary: number;
}

/**
 * Text and ids of a prompt. Throws `context_length_exceeded` when prompt and `maxTokens` do not fit, and
 * `invalid_request` for an empty prompt or ids outside the vocabulary.
 */
export function renderPrompt(
  prompt: Prompt,
  {
    vocabulary,
    template,
    limits,
  }: {
    readonly vocabulary: NativeVocabulary;
    readonly template: ChatTemplate;
    readonly limits: PromptLimits;
  },
): RenderedPrompt {
  let text = '';
  let tokens: readonly number[];
  let boundary = 0;
  if (prompt.kind === 'tokens') {
    tokens = prompt.tokens;
    checkIds(vocabulary, tokens);
  } else {
    const pieces: PromptPiece[] =
      prompt.kind === 'messages'
        ? template.render(prompt.messages, offeredTools(prompt))
        : [{ text: prompt.text, origin: 'content' }];
    checkLength(vocabulary, pieces, limits);
    text = pieces.map((piece) => piece.text).join('');
    ({ tokens, boundary } = tokenizePieces(vocabulary, pieces));
  }
  if (tokens.length === 0)
    throw new CorralError('invalid_request', {
      params: { reason: 'the prompt is empty' },
      param: 'prompt',
    });
  if (tokens.length + limits.maxTokens > limits.contextTokens) throw tooLong(tokens.length, limits);
  if (prompt.kind === 'tokens') text = textOf(vocabulary, tokens);
  return { text, tokens, boundary };
}
