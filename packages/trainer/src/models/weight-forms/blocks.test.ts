// Blocks in the forms of the graphs against the file's dequantised numbers: nothing may change on the way.
import { dequantise, leveledTypes, quantise, type LeveledType } from '@corral/formats';
import { describe, expect, it } from 'vitest';
import { noise } from '../tiny-model.fake.ts';
import { randomBlocks } from './blocks.fake.ts';
import {
  blockFormOf,
  blocksOfFloats,
  fillBlocks,
  readBlockRow,
  takeBlocksApart,
} from './blocks.ts';
import type { BlockForm } from './weight-form.ts';

const rows = 3;
const columns = 512;
const types = Object.keys(leveledTypes) as LeveledType[];

const arraysOf = ({ bits, blockSize, hasOffset }: BlockForm) => ({
  levels: bits === 4 ? new Uint8Array((rows * columns) / 2) : new Int8Array(rows * columns),
  scales: new Float32Array((rows * columns) / blockSize),
  offsets: new Float32Array(hasOffset ? (rows * columns) / blockSize : 0),
});

/** The rows of a tensor that went through a form. */
const throughForm = (type: LeveledType, bytes: Uint8Array, form: BlockForm): number[] => {
  const arrays = arraysOf(form);
  fillBlocks(takeBlocksApart(type, bytes), arrays, { form, columns });
  return Array.from({ length: rows }, (_, row) =>
    Array.from(readBlockRow(arrays, row, { form, columns })),
  ).flat();
};

const numbers = (values: Iterable<number>): number[] => Array.from(values, (value) => value + 0);

describe('blocks', () => {
  it.each(types)('%s keeps its numbers in its own form', (type) => {
    const bytes = randomBlocks(type, rows * columns, { seed: 'own' });
    const found = throughForm(type, bytes, blockFormOf([type]));
    expect(numbers(found)).toEqual(numbers(dequantise(type, bytes)));
  });

  it.each(types)('%s keeps its numbers in a form that also holds another type', (type) => {
    for (const other of types) {
      const bytes = randomBlocks(type, rows * columns, { seed: other });
      const found = throughForm(type, bytes, blockFormOf([type, other]));
      expect(numbers(found)).toEqual(numbers(dequantise(type, bytes)));
    }
  });

  it('holds 4-bit types in 4 bits, and anything beside them in 8', () => {
    expect(blockFormOf(['Q4_0'])).toMatchObject({ bits: 4, zero: 8, hasOffset: false });
    expect(blockFormOf(['Q4_0', 'Q4_K'])).toMatchObject({ bits: 4, zero: 0, hasOffset: true });
    expect(blockFormOf(['Q4_K', 'Q6_K'])).toMatchObject({
      bits: 8,
      blockSize: 16,
      hasOffset: true,
    });
    expect(blockFormOf(['F16'])).toEqual(blockFormOf(['Q8_0']));
  });

  it('rounds other numbers as Q8_0 does', () => {
    const values = noise('floats', rows * columns);
    const form = blockFormOf(['BF16']);
    expect(blocksOfFloats(values, form)).toEqual(takeBlocksApart('Q8_0', quantise('Q8_0', values)));
  });
});
