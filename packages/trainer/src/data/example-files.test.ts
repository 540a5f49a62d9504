// Examples on disk: what goes in comes out, however it is divided, and the division is by content.
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EncodedExample } from './encode.ts';
import { ExampleFile, ExampleWriter } from './example-file.ts';
import { holdOutHash } from './order.ts';
import { ExamplePacker } from './packed-examples.ts';
import { type SplitExamples, SplitWriter, openSplit } from './split-examples.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-examples-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const seed = 42;
const exampleArbitrary = fc
  .array(fc.record({ token: fc.integer({ min: 0, max: 300_000 }), weight: fc.nat(2) }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((parts): EncodedExample => ({
    tokens: Int32Array.from(parts, ({ token }) => token),
    weights: Float32Array.from(parts, ({ weight }) => Math.fround(weight / 3)),
  }));

const pack = (examples: readonly EncodedExample[], parts = 1) => {
  const packer = new ExamplePacker(seed);
  const size = Math.max(1, Math.ceil(examples.length / parts));
  return Array.from({ length: Math.ceil(examples.length / size) }, (_, part) => {
    examples.slice(part * size, (part + 1) * size).forEach((example, index) => {
      packer.add(example, part * size + index + 1);
    });
    return packer.take();
  });
};

interface Split {
  readonly share: number;
  readonly examplesPerItem?: number;
}
const split = (
  examples: readonly EncodedExample[],
  { share, examplesPerItem = 1 }: Split,
): SplitExamples => {
  using writer = new SplitWriter(folder, { share, examplesPerItem });
  for (const part of pack(examples, examplesPerItem === 1 ? 3 : 1)) writer.add(part);
  return openSplit(folder, writer.finish(), examplesPerItem);
};
const rowsOf = (store: SplitExamples['train']) => [...store.rows()];

describe('divided examples', () => {
  test('are all there once, each as it was', () => {
    fc.assert(
      fc.property(
        fc.array(exampleArbitrary, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(0, 0.1, 0.5, 0.95),
        (examples, share) => {
          using stores = split(examples, { share });
          const { train, validation } = stores;
          const rows = [...rowsOf(train), ...rowsOf(validation)].toSorted((a, b) => a - b);
          expect(rows).toEqual(examples.map((_, index) => index + 1));
          for (const store of [train, validation]) {
            let tokens = 0;
            for (let index = 0; index < store.count; index += 1) {
              const example = store.get(index);
              expect(example).toEqual(examples[store.rowOf(index) - 1]);
              tokens += example.tokens.length - 1;
            }
            expect(store.inputTokens).toBe(tokens);
            expect(rowsOf(store)).toHaveLength(store.count);
            expect(() => store.get(store.count)).toThrow(RangeError);
            expect(() => store.get(-1)).toThrow(RangeError);
          }
          expect(train.count).toBeGreaterThan(0);
          if (share > 0 && examples.length > 1) expect(validation.count).toBeGreaterThan(0);
          if (share === 0) expect(validation.count).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('are held out by their tokens, wherever they stand', () => {
    const examples = Array.from({ length: 60 }, (_, index): EncodedExample => ({
      tokens: Int32Array.of(index, 5, 6),
      weights: Float32Array.of(0, 1, 1),
    }));
    const held = (order: readonly EncodedExample[]) => {
      using stores = split(order, { share: 0.3 });
      const { validation } = stores;
      return Array.from({ length: validation.count }, (_, at) => validation.get(at).tokens[0]);
    };
    const expected = examples
      .filter(({ tokens }) => holdOutHash(tokens, seed) < 0.3)
      .map(({ tokens }) => tokens[0]);
    expect(held(examples)).toEqual(expected);
    expect(held(examples.toReversed()).toReversed()).toEqual(expected);
  });

  test('stay together when two make an item', () => {
    fc.assert(
      fc.property(
        fc.array(exampleArbitrary, { minLength: 1, maxLength: 10 }),
        fc.constantFrom(0.01, 0.5, 0.99),
        (firsts, share) => {
          const pairs = firsts.flatMap((first) => [
            first,
            { tokens: first.tokens.map((token) => token + 1), weights: first.weights },
          ]);
          using stores = split(pairs, { share, examplesPerItem: 2 });
          for (const store of [stores.train, stores.validation]) {
            for (let index = 0; index < store.count; index += 2) {
              expect(store.rowOf(index) % 2).toBe(1);
              expect(store.rowOf(index + 1)).toBe(store.rowOf(index) + 1);
            }
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('a file of examples', () => {
  const example = { tokens: Int32Array.of(1, 2), weights: Float32Array.of(0, 1) };
  const write = (name: string, count: number) => {
    const path = join(folder, name);
    using writer = new ExampleWriter(path);
    const [packed] = pack([example]);
    for (let row = 1; row <= count; row += 1) {
      writer.add(packed?.bytes ?? new Uint8Array(), { tokens: 2, row });
    }
    return { path, shape: writer.finish() };
  };

  test('that is shorter than stated is refused', () => {
    const { path, shape } = write('short', 3);
    truncateSync(`${path}.tokens`, 10);
    expect(() => new ExampleFile(path, shape)).toThrow(RangeError);
  });

  test('is not read after it was closed', () => {
    const { path, shape } = write('closed', 3);
    const file = new ExampleFile(path, shape);
    file[Symbol.dispose]();
    file[Symbol.dispose]();
    expect(() => file.get(0)).toThrow(expect.objectContaining({ code: 'closed' }));
  });
});
