// When sequences have a cache each, and when they share one.
import { describe, expect, it } from 'vitest';
import { chooseContextSize, type ContextSizeInput } from './context-size.ts';

const choose = (
  options: Partial<ContextSizeInput['options']> = {},
  rest: Partial<ContextSizeInput> = {},
) =>
  chooseContextSize({
    options: { n_ctx: 1000, n_seq_max: 8, n_kv: 0, ...options },
    bytesPerToken: 10,
    otherBytes: 100,
    availableBytes: 1_000_000,
    ...rest,
  });

describe('the cache', () => {
  it('has room for every sequence where memory allows', () => {
    expect(choose()).toEqual({ sequences: 8 });
  });

  it('is shared where it does not, and holds at least one whole sequence', () => {
    expect(choose({}, { availableBytes: 100_200 })).toEqual({ sequences: 16, sharedTokens: 5000 });
    expect(choose({}, { availableBytes: 12_000 })).toEqual({ sequences: 16, sharedTokens: 1000 });
  });

  it('is as large as it is said to be', () => {
    expect(choose({ n_kv: 3000 })).toEqual({ sequences: 16, sharedTokens: 3000 });
    expect(choose({ n_kv: 10 })).toEqual({ sequences: 16, sharedTokens: 1000 });
    expect(choose({ n_kv: 8000 })).toEqual({ sequences: 8 });
  });

  it('never has more sequences than llama.cpp knows', () => {
    expect(choose({ n_seq_max: 200, n_kv: 1000 }).sequences).toBe(256);
  });

  it('is refused when one sequence does not fit', () => {
    expect(() => choose({}, { availableBytes: 9000 })).toThrow(
      expect.objectContaining({ code: 'memory_too_small' }),
    );
    expect(() => choose({ n_kv: 200_000, n_seq_max: 256 })).toThrow(/needs/);
  });
});
