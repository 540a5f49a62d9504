// The first verb of every recipe: read, check and tokenise the training data, and hold out the
// validation part. Nothing starts when a row cannot be used.
import { stat } from 'node:fs/promises';
import type { DataReport } from '@corral/contracts';
import { checkData, requireUsable } from '../data/check-data.ts';
import { openEncoder } from '../data/check-command.ts';
import { methodTraits } from '../config/methods.ts';
import { ExampleStore } from '../data/data-set.ts';
import type { Encoder } from '../data/encode.ts';
import { holdOutHash } from '../data/order.ts';
import { readRows } from '../data/rows.ts';
import { type Run, pauseIfAsked, phaseReporter } from './run.ts';

export interface RunData {
  readonly encoder: Encoder;
  readonly train: ExampleStore;
  readonly validation: ExampleStore;
  readonly report: DataReport;
}

/** A template is tried on the first conversations; one that cannot be followed is told, not refused. */
const templateProbes = 4;

/** Reads one file into a store. Throws CorralError `data_invalid`, `data_empty`, `file_not_found`. */
async function readInto(
  store: ExampleStore,
  path: string,
  { run, encoder }: { run: Run; encoder: Encoder },
): Promise<DataReport> {
  const { size } = await stat(path);
  const progress = phaseReporter(run.emit, 'tokenise');
  const report = await checkData(path, encoder, {
    format: run.config.data.format,
    pairs: run.config.method === 'dpo' ? 'only' : 'never',
    onExample: (example, row) => {
      pauseIfAsked(run);
      store.add(example, row);
    },
    onProgress: (bytes) => {
      progress(bytes, size);
    },
  });
  requireUsable(report);
  return report;
}

interface Split {
  readonly share: number;
  readonly seed: number;
  /** Examples that stay together: a pair goes where its first goes. */
  readonly examplesPerItem: number;
}

/**
 * Moves the items whose hash falls below `share` out of the whole; at least one stays on each side when
 * there are two or more.
 */
function splitByHash(all: ExampleStore, { share, seed, examplesPerItem: size }: Split) {
  const count = all.count / size;
  const hashes = Array.from({ length: count }, (_, item) =>
    holdOutHash(all.get(item * size).tokens, seed),
  );
  const held = hashes.map((hash) => hash < share);
  const least = hashes.indexOf(Math.min(...hashes.slice(0, 65_536)));
  if (share > 0 && count > 1 && !held.includes(true)) held[least] = true;
  if (!held.includes(false)) held[least] = false;
  const train = new ExampleStore();
  const validation = new ExampleStore();
  for (let index = 0; index < all.count; index += 1) {
    (held[Math.floor(index / size)] ? validation : train).add(all.get(index), all.rowOf(index));
  }
  return { train, validation };
}

async function probeTemplate(run: Run, encoder: Encoder): Promise<void> {
  let probes = 0;
  for await (const { example, row } of readRows(run.config.data.train.path, run.config.data)) {
    if (probes >= templateProbes) return;
    probes += 1;
    if (example?.kind !== 'chat' || example.tools) continue;
    const options = { addGenerationPrompt: false };
    if (encoder.template.matches(example.messages, options)) continue;
    run.emit({
      type: 'warning',
      message: `The model's chat template changes the text of messages (seen in row ${row}). Corral renders message texts as they are.`,
    });
    return;
  }
}

/** Loads training and validation examples of a run. */
export async function loadData(run: Run): Promise<RunData> {
  const { data, model, train: training } = run.config;
  const encoder = await openEncoder(model.path, data);
  const all = new ExampleStore();
  const report = await readInto(all, data.train.path, { run, encoder });
  await probeTemplate(run, encoder);
  if (typeof data.validation === 'number') {
    const { examplesPerItem } = methodTraits[run.config.method];
    const split = { share: data.validation, seed: training.seed, examplesPerItem };
    return { encoder, report, ...splitByHash(all, split) };
  }
  const validation = new ExampleStore();
  await readInto(validation, data.validation.path, { run, encoder });
  return { encoder, report, train: all, validation };
}
