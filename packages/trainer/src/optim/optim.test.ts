// The numbers of AdamW are held to PyTorch's in models/reference.native.ts; here is what does not need it.
import { describe, expect, it } from 'vitest';
import { createAdamW } from './adamw.ts';
import { clipGradients, globalNorm } from './clip-gradients.ts';
import { learningRateAt } from './schedules.ts';

const parameter = (values: readonly number[], gradient: readonly number[], decay = true) => ({
  data: Float32Array.from(values),
  grad: Float32Array.from(gradient),
  decay,
});

describe('AdamW', () => {
  it('moves by the learning rate in the first step, against the sign of the gradient', () => {
    const one = parameter([1, 1, 1], [0.5, -3, 0]);
    createAdamW([one]).step(0.1);
    expect([...one.data].map((x) => x.toFixed(4))).toEqual(['0.9000', '1.1000', '1.0000']);
    expect([...one.grad]).toEqual([0, 0, 0]);
  });

  it('decays weights by lr · wd, apart from the gradient, and only where asked', () => {
    const decayed = parameter([2], [0]);
    const kept = parameter([2], [0], false);
    createAdamW([decayed, kept], { weightDecay: 0.5 }).step(0.1);
    expect(decayed.data[0]).toBeCloseTo(1.9, 6);
    expect(kept.data[0]).toBe(2);
  });

  it('goes on bit for bit from a saved state', () => {
    const run = (resumeAt: number | null): Float32Array => {
      const weights = parameter([0.3, -0.7], [0, 0]);
      let adam = createAdamW([weights], { weightDecay: 0.1 });
      for (let step = 0; step < 6; step++) {
        if (step === resumeAt) {
          const saved = structuredClone(adam.state);
          adam = createAdamW([weights], { weightDecay: 0.1 });
          adam.load(saved);
        }
        weights.grad.set([Math.sin(step), Math.cos(step)]);
        adam.step(0.01);
      }
      return weights.data;
    };
    expect(run(3)).toEqual(run(null));
  });

  it('refuses the state of another model', () => {
    const { state } = createAdamW([parameter([1], [0])]);
    expect(() => createAdamW([parameter([1, 2], [0, 0])]).load(state)).toThrow(RangeError);
  });
});

describe('clipGradients', () => {
  it('scales all gradients to the norm, together', () => {
    const parameters = [parameter([0], [3]), parameter([0], [4])];
    expect(clipGradients(parameters, 1)).toBeCloseTo(5, 6);
    expect(globalNorm(parameters)).toBeCloseTo(1, 5);
    expect(parameters[0]?.grad[0]).toBeCloseTo(0.6, 5);
  });

  it('leaves small, unlimited and broken gradients as they are', () => {
    const small = [parameter([0], [0.5])];
    expect(clipGradients(small, 1)).toBe(0.5);
    expect(clipGradients([parameter([0], [7])], null)).toBe(7);
    const broken = [parameter([0], [Number.NaN, 1])];
    expect(clipGradients(broken, 1)).toBeNaN();
    expect(broken[0]?.grad[1]).toBe(1);
    expect(small[0]?.grad[0]).toBe(0.5);
  });
});

describe('learningRateAt', () => {
  const options = { learningRate: 1, totalSteps: 12, warmupRatio: 0.25 };
  const rates = (schedule: 'cosine' | 'linear' | 'constant'): number[] =>
    Array.from({ length: 12 }, (_, step) => learningRateAt(step, { ...options, schedule }));

  it.each(['cosine', 'linear', 'constant'] as const)(
    '%s: warms up from above 0 to the rate',
    (schedule) => {
      expect(rates(schedule).slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
    },
  );

  it('falls along half a cosine or a line, or not at all', () => {
    expect(rates('cosine')[6]).toBeCloseTo(0.5 * (1 + Math.cos(Math.PI / 3)), 12);
    expect(rates('linear')[6]).toBeCloseTo(2 / 3, 12);
    expect(rates('constant')[11]).toBe(1);
    for (const rate of rates('cosine')) expect(rate).toBeGreaterThan(0);
  });
});
