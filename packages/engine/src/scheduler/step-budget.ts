// How many tokens a step may feed, so that a step stays short. A small model takes the whole batch; a large
// one on few cores would be deaf for a minute (no token for other streams, no cancel) while it reads 512
// tokens of somebody's prompt. Powers of two only: prompts keep few shapes, and equal shapes give equal
// numbers. Knows only counts and times.

/** A step longer than this is felt as a stall. */
const targetMs = 4000;
/** Smaller batches cost more for each token than they save in waiting. */
const smallest = 32;

export interface StepBudget {
  /** Tokens of the next step. */
  readonly tokens: number;
  /** A step fed `tokens` and took `ms`. */
  record(tokens: number, ms: number): void;
}

/** `largest`: tokens the batch holds. */
export function createStepBudget(largest: number): StepBudget {
  let tokens = largest;
  return {
    get tokens() {
      return tokens;
    },
    record: (fed, ms) => {
      // A step of single tokens says little about prompts.
      if (fed < smallest / 2 || ms <= 0) return;
      const fitting = (targetMs / ms) * fed;
      const wanted = Math.min(largest, Math.max(smallest, 2 ** Math.floor(Math.log2(fitting))));
      // Upwards only on the evidence of a full step, and with room to spare: no swinging.
      const grows = wanted > tokens && fed >= tokens / 2 && fitting >= 2.5 * tokens;
      if (wanted < tokens || grows) tokens = wanted;
    },
  };
}
