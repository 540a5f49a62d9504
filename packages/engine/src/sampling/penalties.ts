// What changes logits before a token is drawn, in llama.cpp's order: bias, penalties for repetition, then
// forbidden tokens. Frequency and presence penalties follow OpenAI's definition (they count generated tokens); the
// repetition penalty follows CTRL (Keskar et al. 2019, section 4.1) and counts the prompt as well.
import type { Sampling } from '@corral/contracts';

type PenaltySettings = Pick<
  Sampling,
  'frequency_penalty' | 'presence_penalty' | 'repetition_penalty' | 'logit_bias'
>;

export interface LogitAdjuster {
  /** The row with every change made: the input itself when there is nothing to change, else scratch. */
  adjust(row: Float32Array): Float32Array;
  /** Counts a generated token. */
  accept(token: number): void;
}

export interface LogitAdjusterOptions {
  readonly prompt: readonly number[];
  /** Tokens that must not be drawn. */
  readonly forbidden: Iterable<number>;
}

export function createLogitAdjuster(
  settings: PenaltySettings,
  { prompt, forbidden }: LogitAdjusterOptions,
): LogitAdjuster {
  const { frequency_penalty, presence_penalty, repetition_penalty, logit_bias } = settings;
  const banned = [...forbidden];
  const repeats = repetition_penalty !== 1;
  const counts = frequency_penalty !== 0 || presence_penalty !== 0;
  const idle = !repeats && !counts && logit_bias.length === 0 && banned.length === 0;
  const seen = new Set<number>(repeats ? prompt : []);
  const generated = new Map<number, number>();
  let scratch = new Float32Array(0);

  return {
    adjust: (row) => {
      if (idle) return row;
      if (scratch.length !== row.length) scratch = new Float32Array(row.length);
      scratch.set(row);
      for (const [token, bias] of logit_bias) scratch[token] = (scratch[token] ?? 0) + bias;
      for (const token of seen) {
        const logit = scratch[token] ?? 0;
        scratch[token] = logit > 0 ? logit / repetition_penalty : logit * repetition_penalty;
      }
      for (const [token, count] of generated)
        scratch[token] = (scratch[token] ?? 0) - count * frequency_penalty - presence_penalty;
      for (const token of banned) scratch[token] = -Infinity;
      return scratch;
    },
    accept: (token) => {
      if (repeats) seen.add(token);
      if (counts) generated.set(token, (generated.get(token) ?? 0) + 1);
    },
  };
}
