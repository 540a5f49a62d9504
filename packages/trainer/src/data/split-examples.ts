// Training and held-out examples on disk, divided while they come: an item (an example, or a pair) is held
// out when the hash of its (first) example falls below the share, whatever the order of the file.
import { join } from 'node:path';
import type { ExampleStore } from './data-set.ts';
import type { EncodedExample } from './encode.ts';
import { ExampleFile, type ExampleFileShape, ExampleWriter } from './example-file.ts';
import { type PackedExamples, entryFields } from './packed-examples.ts';

const sides = ['train', 'validation'] as const;
type Side = (typeof sides)[number];

/** Where the least hash is looked for when one side would be empty. */
const leastAmong = 65_536;

/** An item that stands in one side's file and counts as the other's. */
interface Moved {
  readonly from: Side;
  readonly item: number;
}

/** What is needed to open the files again. */
export interface SplitShape {
  readonly train: ExampleFileShape;
  readonly validation: ExampleFileShape;
  readonly moved: Moved | null;
}

interface SplitOptions {
  /** Of the items, in [0, 1). */
  readonly share: number;
  readonly examplesPerItem: number;
}

/** Divides examples into the two files of a folder. */
export class SplitWriter implements Disposable {
  private readonly folder: string;
  private readonly options: SplitOptions;
  private readonly writers: Record<Side, ExampleWriter>;
  private least = { item: 0, hash: Infinity };
  private items = 0;

  constructor(folder: string, options: SplitOptions) {
    this.folder = folder;
    this.options = options;
    this.writers = {
      train: new ExampleWriter(join(folder, 'train')),
      validation: new ExampleWriter(join(folder, 'validation')),
    };
  }

  /** Items are whole: their examples come together. */
  add({ bytes, entries }: PackedExamples): void {
    const { share, examplesPerItem } = this.options;
    let at = 0;
    let side: Side = 'train';
    for (let index = 0; index * entryFields < entries.length; index += 1) {
      const [size = 0, tokens = 0, row = 0, hash = 0] = entries.subarray(index * entryFields);
      if (index % examplesPerItem === 0) side = this.sideOf(hash, share);
      this.writers[side].add(bytes.subarray(at, at + size), { tokens, row });
      at += size;
    }
  }

  private sideOf(hash: number, share: number): Side {
    if (this.items < leastAmong && hash < this.least.hash) this.least = { item: this.items, hash };
    this.items += 1;
    return hash < share ? 'validation' : 'train';
  }

  /** At least one item stays on each side when there are two or more and a share is held out. */
  finish(): SplitShape {
    const { share } = this.options;
    const { train, validation } = this.writers;
    const shapes = { train: train.finish(), validation: validation.finish() };
    const from: Side | null =
      this.items === 0
        ? null
        : shapes.train.count === 0
          ? 'validation'
          : share > 0 && this.items > 1 && shapes.validation.count === 0
            ? 'train'
            : null;
    // All items are on that side, so its number there is its number in the file.
    return { ...shapes, moved: from === null ? null : { from, item: this.least.item } };
  }

  [Symbol.dispose](): void {
    for (const side of sides) this.writers[side][Symbol.dispose]();
  }
}

/** A store without one item, or with only that item. */
class PartOfStore implements ExampleStore {
  readonly count: number;
  readonly inputTokens: number;
  private readonly whole: ExampleStore;
  private readonly numberOf: (index: number) => number;

  constructor(whole: ExampleStore, gap: { start: number; size: number; keep: 'gap' | 'rest' }) {
    const { start, size, keep } = gap;
    const inside = Array.from({ length: size }, (_, index) => whole.get(start + index));
    const tokens = inside.reduce((sum, example) => sum + example.tokens.length - 1, 0);
    this.whole = whole;
    this.count = keep === 'gap' ? size : whole.count - size;
    this.inputTokens = keep === 'gap' ? tokens : whole.inputTokens - tokens;
    this.numberOf =
      keep === 'gap' ? (index) => start + index : (index) => (index < start ? index : index + size);
  }

  get(index: number): EncodedExample {
    return this.whole.get(this.checked(index));
  }

  rowOf(index: number): number {
    return this.whole.rowOf(this.checked(index));
  }

  *rows(): Generator<number> {
    for (let index = 0; index < this.count; index += 1) yield this.rowOf(index);
  }

  private checked(index: number): number {
    if (index >= 0 && index < this.count) return this.numberOf(index);
    throw new RangeError(`there is no example ${index}`);
  }
}

export interface SplitExamples extends Disposable {
  readonly train: ExampleStore;
  readonly validation: ExampleStore;
}

/** Opens what a SplitWriter finished. Throws when the files are not those. */
export function openSplit(
  folder: string,
  { moved, ...shapes }: SplitShape,
  examplesPerItem: number,
): SplitExamples {
  const train = new ExampleFile(join(folder, 'train'), shapes.train);
  const validation = new ExampleFile(join(folder, 'validation'), shapes.validation);
  const dispose = (): void => {
    train[Symbol.dispose]();
    validation[Symbol.dispose]();
  };
  if (moved === null) return { train, validation, [Symbol.dispose]: dispose };
  const whole = moved.from === 'train' ? train : validation;
  const gap = { start: moved.item * examplesPerItem, size: examplesPerItem };
  const item = new PartOfStore(whole, { ...gap, keep: 'gap' });
  const rest = new PartOfStore(whole, { ...gap, keep: 'rest' });
  return {
    train: moved.from === 'train' ? rest : item,
    validation: moved.from === 'train' ? item : rest,
    [Symbol.dispose]: dispose,
  };
}
