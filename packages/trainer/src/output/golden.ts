// Golden transcripts: what the trained model says, by the trainer's own forward pass, to a few prompts
// of its data. Every derived form of the model (adapter on the engine, quantised, remote) is held to it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Golden } from '@corral/contracts';
import type { Encoder } from '../data/encode.ts';
import { encodePrompt } from '../data/encode.ts';
import type { ChatMessage } from '../data/example.ts';
import type { CausalLm } from '../models/causal-lm.ts';

const greedyLength = 24;
const topCount = 64;

/** What a transcript takes at most; a prompt of plain text is a few words. */
export const goldenLimits = { tokens: greedyLength, textTokens: 16 } as const;

export interface GoldenPrompt {
  readonly messages: readonly ChatMessage[];
  /** The answer in the data: a guess of what a trained model says, which saves passes. */
  readonly answer: string;
}

/** Index of the largest value; of equal ones the first, as every engine's argmax. */
function argmax(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index += 1) {
    if ((values[index] ?? 0) > (values[best] ?? 0)) best = index;
  }
  return best;
}

/** Indices of the `count` largest values, the largest first; of equal ones the lower index first. */
function largest(values: Float32Array, count: number): number[] {
  const kept: number[] = [];
  values.forEach((value, index) => {
    const least = values[kept.at(-1) ?? 0] ?? 0;
    if (kept.length === count && value <= least) return;
    const place = kept.findLastIndex((other) => (values[other] ?? 0) >= value) + 1;
    kept.splice(place, 0, index);
    if (kept.length > count) kept.pop();
  });
  return kept;
}

/** The `count` most likely tokens with natural-log probabilities, the most likely first. */
export function topLogprobs(logits: Float32Array, count: number): [number, number][] {
  const top = largest(logits, count);
  const max = logits[top[0] ?? 0] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  const logSum = max + Math.log(sum);
  return top.map((token) => [token, (logits[token] ?? 0) - logSum]);
}

/**
 * Greedy continuation. Each pass scores the prompt, what is known of the continuation and the rest of
 * the guess; the guess is kept as far as it is what the model says, so a learned answer takes one pass.
 */
async function continueGreedily(
  model: CausalLm,
  prompt: readonly number[],
  { guess, endId, limit }: { guess: readonly number[]; endId: number | null; limit: number },
) {
  const greedy: number[] = [];
  const logits: Float32Array[] = [];
  const ended = (): boolean =>
    greedy.length >= limit || (endId !== null && greedy.at(-1) === endId);
  while (!ended()) {
    const rest = guess.slice(greedy.length, limit - 1);
    const fits = greedy.every((token, index) => token === guess[index]);
    const tokens = Int32Array.from([...prompt, ...greedy, ...(fits ? rest : [])]);
    const from = prompt.length + greedy.length - 1;
    for (const row of await model.nextTokenLogits(tokens, from)) {
      const token = argmax(row);
      const guessed = guess[greedy.length];
      greedy.push(token);
      logits.push(row);
      if (ended() || !fits || token !== guessed) break;
    }
  }
  return { greedy, logits };
}

/** Plays each prompt; `messages` keep what a chat client would send (role and text). */
export async function playGolden(
  model: CausalLm,
  prompts: readonly GoldenPrompt[],
  {
    encoder,
    baseSha256,
    contextLength,
    onProgress,
  }: {
    readonly encoder: Encoder;
    readonly baseSha256: string;
    readonly contextLength: number;
    /** Before each prompt and after the last; may throw to stop. */
    readonly onProgress?: (done: number, total: number) => void;
  },
): Promise<Golden> {
  const { tokenizer } = encoder;
  const transcripts: Golden['transcripts'] = [];
  for (const [done, { messages, answer }] of prompts.entries()) {
    onProgress?.(done, prompts.length);
    await nextTurn();
    const prompt = encodePrompt(messages, encoder);
    const limit = Math.min(greedyLength, contextLength - prompt.length);
    if (limit < 1) continue;
    const guess = tokenizer.encode(answer, { special: false, first: false });
    if (tokenizer.eosId !== null) guess.push(tokenizer.eosId);
    const options = { guess, endId: tokenizer.eosId, limit };
    const { greedy, logits } = await continueGreedily(model, prompt, options);
    transcripts.push({
      messages: messages.map(({ role, content }) => ({ role, content })),
      prompt_tokens: prompt,
      greedy_tokens: greedy,
      top_logprobs: logits.map((row) => topLogprobs(row, Math.min(topCount, row.length))),
    });
  }
  onProgress?.(prompts.length, prompts.length);
  return { schema: 'corral-golden/1', base: { sha256: baseSha256 }, transcripts };
}
