import { describe, expect, it } from 'vitest';
import { createWarmthTrial, type WarmthTrial } from './warmth-trial.ts';

/** Decodes of `tokens` that take what they take; how many of them were warmed. */
function decode(trial: WarmthTrial, tokens: number, times: { warm: number; cold: number }): number {
  let warmed = 0;
  for (let i = 0; i < 128; i++) {
    const isWarm = trial.choose(tokens);
    if (isWarm) warmed++;
    trial.record(tokens, isWarm, isWarm ? times.warm : times.cold);
  }
  return warmed;
}

describe('createWarmthTrial', () => {
  it('comes to the faster way, for each number of tokens', () => {
    const trial = createWarmthTrial();
    expect(decode(trial, 8, { warm: 30, cold: 45 })).toBeGreaterThan(120);
    expect(decode(trial, 9, { warm: 45, cold: 30 })).toBeLessThan(8);
  });

  it('notices when the other way has become faster', () => {
    const trial = createWarmthTrial();
    decode(trial, 8, { warm: 30, cold: 45 });
    decode(trial, 8, { warm: 30, cold: 20 });
    expect(decode(trial, 8, { warm: 30, cold: 20 })).toBeLessThan(8);
  });

  it('leaves single tokens and long prompts alone', () => {
    const trial = createWarmthTrial();
    expect(decode(trial, 1, { warm: 1, cold: 2 })).toBe(0);
    expect(decode(trial, 512, { warm: 1, cold: 2 })).toBe(0);
  });
});
