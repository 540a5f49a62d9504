// Which prompts are embedded side by side, and in what pieces, so that a vector does not depend on the others
// of its request. Each sequence has a cache of its own; what is left to decide a number is how many tokens of a
// sequence a decode holds (prompt-cut.ts). So each prompt is computed in pieces of 64 tokens and one that is
// shorter, all prompts of a group in step, and the last pieces are filled up to one length. Pure.
import { largePiece, smallestPiece } from '../scheduler/prompt-cut.ts';

export interface PromptLength {
  readonly prompt: number;
  readonly tokens: number;
}

export interface PromptGroup {
  /** Numbers of the prompts. */
  readonly prompts: readonly number[];
  /** Tokens of each that are computed in large pieces. */
  readonly large: number;
  /** Tokens that are fed of each; a shorter prompt is filled up to them. */
  readonly length: number;
}

const largeTokens = (tokens: number): number => largePiece * Math.floor(tokens / largePiece);

/** Tokens behind the large pieces, no single one: alone it would be computed in another way (prompt-cut.ts). */
const smallTokens = (tokens: number): number => {
  const small = tokens - largeTokens(tokens);
  return small === 0 ? 0 : Math.max(smallestPiece, small);
};

/**
 * The first of `waiting`, shortest first, and those behind it that fit beside it: as many large pieces, at most
 * `sequences` prompts, pieces of at most `tokens` tokens together.
 */
export function nextGroup(
  waiting: readonly PromptLength[],
  { sequences, tokens }: { readonly sequences: number; readonly tokens: number },
): PromptGroup {
  const prompts: number[] = [];
  const large = largeTokens(waiting[0]?.tokens ?? 0);
  let small = 0;
  for (const next of waiting.slice(0, sequences)) {
    const behind = Math.max(small, smallTokens(next.tokens));
    const piece = large > 0 ? largePiece : behind;
    if (largeTokens(next.tokens) !== large) break;
    if (prompts.length > 0 && (prompts.length + 1) * piece > tokens) break;
    prompts.push(next.prompt);
    small = behind;
  }
  return { prompts, large, length: large + small };
}

/** Tokens of the next piece of each prompt, of about `tokens` in all, when `fed` are fed. */
export function nextPiece(
  { prompts, large, length }: PromptGroup,
  fed: number,
  tokens: number,
): number {
  if (fed >= large) return length - fed;
  const pieces = Math.max(1, Math.floor(tokens / (largePiece * prompts.length)));
  return Math.min(large - fed, pieces * largePiece);
}
