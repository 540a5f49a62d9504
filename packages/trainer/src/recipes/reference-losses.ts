// What the reference model, the base without its adapter, says of every pair: computed once, before the
// first step, and kept on disk beside the checkpoints. A run that was stopped on the way goes on where it
// was. Batches are a function of the index, so equal runs give equal bytes.
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  FormatError,
  openFileSink,
  openFileSource,
  readSafetensors,
  writeSafetensors,
} from '@corral/formats';
import { checkpointFolder } from '../checkpoint/checkpoint.ts';
import type { ExampleStore } from '../data/data-set.ts';
import type { CausalLm } from '../models/causal-lm.ts';
import { layOutRows } from './layout.ts';
import type { RunData } from './load-data.ts';
import type { PairLosses } from './pair-step.ts';
import { type Run, RunPaused, phaseReporter } from './run.ts';
import { layoutOf } from './session.ts';

/** Of each pair of a store. */
export type ReferenceLosses = (pair: number) => PairLosses;

const schema = 'corral-reference/1';

/** What is lost at most when the process is killed meanwhile. */
const saveEveryMs = 30_000;

/** [pairs, 2] chosen and rejected; NaN = not computed yet. */
interface Table {
  readonly train: Float64Array;
  readonly validation: Float64Array;
}
type Part = keyof Table;
const parts: readonly Part[] = ['train', 'validation'];

const pathOf = (output: string): string => join(checkpointFolder(output), 'reference.safetensors');

const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const digestOf = (table: Table): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(bytesOf(table[part]));
  return hash.digest('hex');
};

async function save(path: string, identity: string, table: Table): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await using sink = await openFileSink(path);
  await writeSafetensors(sink, {
    metadata: new Map([
      ['schema', schema],
      ['identity', identity],
      ['sha256', digestOf(table)],
    ]),
    tensors: parts
      .filter((part) => table[part].length > 0)
      .map((part) => ({
        name: part,
        dtype: 'F64' as const,
        shape: [table[part].length / 2, 2],
        data: bytesOf(table[part]),
      })),
  });
  await sink.commit();
}

/** Fills the table from the file; leaves it as it is when there is none, or it is another run's or damaged. */
async function load(path: string, identity: string, table: Table): Promise<void> {
  const found: Table = {
    train: new Float64Array(table.train.length),
    validation: new Float64Array(table.validation.length),
  };
  try {
    await using source = await openFileSource(path);
    const file = await readSafetensors(source);
    if (file.metadata.get('identity') !== identity) return;
    for (const part of parts) {
      if (found[part].length > 0) bytesOf(found[part]).set(await file.readTensor(part));
    }
    if (file.metadata.get('sha256') !== digestOf(found)) return;
  } catch (error) {
    if (FormatError.isInstance(error) || error instanceof RangeError) return;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  for (const part of parts) table[part].set(found[part]);
}

/** Indices of the pairs of one batch. */
const batchAt = (first: number, size: number, count: number): number[] =>
  Array.from({ length: Math.min(size, count - first) }, (_, index) => first + index);

interface Filling {
  readonly run: Run;
  readonly model: CausalLm;
  readonly save: () => Promise<void>;
  readonly progress: (pairs: number) => void;
}

async function fill(values: Float64Array, store: ExampleStore, filling: Filling): Promise<void> {
  const { run, model } = filling;
  const size = run.config.train.batch_size;
  const count = values.length / 2;
  let savedAt = performance.now();
  for (let first = 0; first < count; first += size) {
    filling.progress(Math.min(size, count - first));
    const pairs = batchAt(first, size, count);
    if (pairs.every((pair) => !Number.isNaN(values[2 * pair]))) continue;
    const { batch, items } = layOutRows(store, pairs, layoutOf(run));
    const { exampleLosses } = await model.evaluate(batch, { adapters: 'off' });
    items.forEach((row, at) => {
      for (const [place, pair] of row.entries()) {
        values[2 * pair] = exampleLosses[at]?.[2 * place] ?? NaN;
        values[2 * pair + 1] = exampleLosses[at]?.[2 * place + 1] ?? NaN;
      }
    });
    await nextTurn();
    if (!run.signal.aborted && performance.now() - savedAt < saveEveryMs) continue;
    await filling.save();
    savedAt = performance.now();
    if (run.signal.aborted) throw new RunPaused(0);
  }
}

/**
 * The reference's losses of all pairs, from the disk or computed now with the model's adapters switched off.
 * Throws RunPaused when asked to pause; what was computed is saved then.
 */
export async function referenceLosses(
  run: Run,
  model: CausalLm,
  data: Pick<RunData, Part>,
): Promise<Record<Part, ReferenceLosses>> {
  const path = pathOf(run.output);
  const table: Table = {
    train: new Float64Array(data.train.count).fill(NaN),
    validation: new Float64Array(data.validation.count).fill(NaN),
  };
  await load(path, run.identity, table);
  const total = (table.train.length + table.validation.length) / 2;
  const report = phaseReporter(run.emit, 'reference log-probabilities');
  let done = 0;
  const filling: Filling = {
    run,
    model,
    save: () => save(path, run.identity, table),
    progress: (pairs) => report((done += pairs), total),
  };
  const missing = parts.filter((part) => table[part].includes(NaN));
  for (const part of missing) await fill(table[part], data[part], filling);
  if (missing.length > 0) await filling.save();
  const of = (values: Float64Array) => (pair: number) => ({
    chosen: values[2 * pair] ?? NaN,
    rejected: values[2 * pair + 1] ?? NaN,
  });
  return { train: of(table.train), validation: of(table.validation) };
}
