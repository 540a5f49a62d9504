// Losses, margins and gradients of DPO against PyTorch, PEFT and TRL. reference/make-expected-dpo.py made the
// numbers and explains fingerprints.
import { readFileSync } from 'node:fs';
import type { ModelConfig } from '@corral/formats';
import { describe, expect, it } from 'vitest';
import type { ExampleStore } from '../data/data-set.ts';
import { MemoryExamples } from '../data/memory-examples.fake.ts';
import { noise, openTinyModel, tinyConfig } from '../models/tiny-model.fake.ts';
import { pairOutcome } from './dpo-loss.ts';
import { type PairLosses, accumulatePairGradients, evaluatePairs } from './pair-step.ts';
import { layOutRows } from './layout.ts';

type Fingerprint = readonly [norm: number, a: number, b: number];
interface Expected {
  readonly beta: number;
  /** Tokens of prompt, chosen and rejected answer. */
  readonly pairs: readonly (readonly [number, number, number])[];
  readonly cases: Readonly<
    Record<
      string,
      {
        readonly reference: readonly number[];
        readonly margins: readonly number[];
        readonly losses: readonly number[];
        readonly gradients: Readonly<Record<string, Fingerprint>>;
      }
    >
  >;
}

const expected = JSON.parse(
  readFileSync(new URL('../../reference/expected/dpo.json', import.meta.url), 'utf8'),
) as Expected;
const configs: Record<string, ModelConfig> = {
  'llama-tied': { ...tinyConfig, tie_word_embeddings: true },
  qwen3: { ...tinyConfig, architecture: 'qwen3', qk_norm: true },
};

const ids = (name: string, length: number): number[] =>
  [...noise(name, length)].map((x) => Math.trunc((x + 1) * 128));

const storeOfPairs = (): ExampleStore => {
  const store = new MemoryExamples();
  for (const [index, [prompt, chosen, rejected]] of expected.pairs.entries()) {
    for (const [side, length] of Object.entries({ chosen, rejected })) {
      const tokens = [
        ...ids(`pair ${index} prompt`, prompt),
        ...ids(`pair ${index} ${side}`, length),
      ];
      const weights = Float32Array.from(tokens, (_, at) => Number(at >= prompt));
      store.add({ tokens: Int32Array.from(tokens), weights }, index + 1);
    }
  }
  return store;
};

const fingerprint = (name: string, values: Float32Array): Fingerprint => {
  const product = (salt: string): number => {
    const other = noise(`${salt} ${name}`, values.length);
    return values.reduce((sum, x, i) => sum + x * (other[i] ?? 0), 0);
  };
  return [Math.hypot(...values), product('a'), product('b')];
};

/** Largest difference, relative to the norm. */
const distance = (found: Fingerprint, wanted: Fingerprint): number =>
  Math.max(...found.map((value, i) => Math.abs(value - (wanted[i] ?? 0)))) / wanted[0];

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

describe.each(Object.entries(expected.cases))('DPO of %s', (name, wanted) => {
  const store = storeOfPairs();
  const all = expected.pairs.map((_, index) => index);
  const reference = (pair: number) => ({
    chosen: -(wanted.reference[2 * pair] ?? 0),
    rejected: -(wanted.reference[2 * pair + 1] ?? 0),
  });
  const outcomeOf = (pair: number, losses: PairLosses) =>
    pairOutcome(losses, reference(pair), { beta: expected.beta });
  const source = { store, outcomeOf };
  const open = () => openTinyModel({ config: configs[name] ?? tinyConfig });

  it.each([true, false])('gives the numbers of PyTorch, packing %s', async (packing) => {
    await using model = open();
    const layout = { packing, contextLength: 96, examplesPerItem: 2 };

    const { batch, items } = layOutRows(store, all, layout);
    const off = await model.evaluate(batch, { adapters: 'off' });
    for (const [row, pairs] of items.entries()) {
      for (const [place, pair] of pairs.entries()) {
        const { chosen, rejected } = reference(pair);
        expect((off.exampleLosses[row]?.[2 * place] ?? 0) / chosen).toBeCloseTo(1, 5);
        expect((off.exampleLosses[row]?.[2 * place + 1] ?? 0) / rejected).toBeCloseTo(1, 5);
      }
    }

    const inputs = { ...source, microBatches: [all.slice(0, 3), all.slice(3)] };
    const result = await accumulatePairGradients(model, inputs, { layout, step: 0 });
    expect(Math.abs(result.loss / mean(wanted.losses) - 1)).toBeLessThan(1e-4);
    expect(result.rewards?.margin).toBeCloseTo(mean(wanted.margins), 4);
    expect(result.rewards?.accuracy).toBe(mean(wanted.margins.map((margin) => Number(margin > 0))));
    for (const { name: parameter, grad } of model.parameters) {
      const error = distance(
        fingerprint(parameter, grad),
        wanted.gradients[parameter] ?? [Number.NaN, 0, 0],
      );
      expect({ parameter, close: error < 1e-4 }).toEqual({ parameter, close: true });
    }

    const options = { layout, batchSize: 3, onBatch: () => undefined };
    const evaluated = await evaluatePairs(model, source, options);
    expect(evaluated.loss).toBeCloseTo(result.loss, 5);
    expect(evaluated.rewards?.margin).toBeCloseTo(result.rewards?.margin ?? 0, 4);
  });
});
