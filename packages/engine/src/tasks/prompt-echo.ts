// The prompt as the first event of a generation shows it: text, ids, and the log-probability of each token
// after those before it. The first token follows nothing and has none.
import type { GenerationEvent, TokenLogprob } from '@corral/contracts';
import { describeLogprob, type LogprobOptions } from './token-logprobs.ts';

export interface PromptEcho {
  /** True when the logits after this position are needed to describe the next token of the prompt. */
  wants(position: number): boolean;
  accept(position: number, row: Float32Array): void;
  /** Every wanted row has come. */
  readonly complete: boolean;
  /** What the event shows. */
  read(): NonNullable<GenerationEvent['prompt']>;
}

export interface PromptEchoOptions {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Null: no log-probabilities. */
  readonly logprobs: LogprobOptions | null;
}

export function createPromptEcho({ text, tokens, logprobs }: PromptEchoOptions): PromptEcho {
  const described: (TokenLogprob | null)[] = [null];
  return {
    wants: (position) => logprobs !== null && position < tokens.length - 1,
    accept: (position, row) => {
      const next = tokens[position + 1];
      if (logprobs && next !== undefined) described.push(describeLogprob(row, next, logprobs));
    },
    get complete() {
      return logprobs === null || described.length === tokens.length;
    },
    read: () => ({ text, tokens, ...(logprobs ? { logprobs: described } : {}) }),
  };
}
