// The first verb of every recipe: read, check and tokenise the training data, and hold out the
// validation part. Nothing starts when a row cannot be used. The examples lie on disk in the run's folder
// until it ends, so memory does not grow with them and a resumed run does not tokenise again.
import { mkdirSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataReport } from '@corral/contracts';
import { methodTraits } from '../config/methods.ts';
import { checkData, requireUsable } from '../data/check-data.ts';
import type { ExampleStore } from '../data/data-set.ts';
import type { Encoder } from '../data/encode.ts';
import { openEncoder } from '../data/open-encoder.ts';
import { openRowEncoder } from '../data/open-row-encoder.ts';
import { readRows } from '../data/rows.ts';
import { type SplitShape, SplitWriter, openSplit } from '../data/split-examples.ts';
import { writeJsonAtomic } from '../output/atomic-file.ts';
import { type Run, pauseIfAsked, phaseReporter } from './run.ts';

export interface RunData extends Disposable {
  readonly encoder: Encoder;
  readonly train: ExampleStore;
  readonly validation: ExampleStore;
  readonly report: DataReport;
  /** Closes the examples and removes their files: the run is over. */
  discard(): Promise<void>;
}

/** A template is tried on the first conversations; one that cannot be followed is told, not refused. */
const templateProbes = 4;

/** Raised when the same rows would give other examples: old files are made again then. */
const schema = 'corral-examples/1';

interface Manifest extends SplitShape {
  readonly schema: typeof schema;
  readonly identity: string;
  readonly report: DataReport;
  /** Of a validation file: its examples lie in a folder of their own. */
  readonly validationFile: SplitShape | null;
}

const folders = (folder: string) => ({
  train: join(folder, 'data'),
  validation: join(folder, 'validation-data'),
  manifest: join(folder, 'manifest.json'),
});

/** Tokenises one file into a folder. Throws CorralError `data_invalid`, `data_empty`, `file_not_found`. */
async function tokenise(
  run: Run,
  input: { path: string; folder: string; share: number; encoder: Encoder },
): Promise<SplitShape & { report: DataReport }> {
  const { path, folder, share, encoder: open } = input;
  const { config } = run;
  const { size } = await stat(path);
  const progress = phaseReporter(run.emit, 'tokenise');
  mkdirSync(folder, { recursive: true });
  const { examplesPerItem } = methodTraits[config.method];
  using writer = new SplitWriter(folder, { share, examplesPerItem });
  const options = { model: config.model.path, data: config.data, encoder: open };
  await using encoder = await openRowEncoder(path, options, config.runtime.threads);
  const report = await checkData(path, encoder, {
    format: config.data.format,
    pairs: examplesPerItem === 2 ? 'only' : 'never',
    truncate: config.data.truncate,
    seed: config.train.seed,
    onExamples: (examples) => {
      pauseIfAsked(run);
      writer.add(examples);
    },
    onProgress: (bytes) => {
      progress(bytes, size);
    },
  });
  requireUsable(report);
  warnOfLength(run, report);
  return { ...writer.finish(), report };
}

function warnOfLength({ emit, config }: Run, { too_long: tooLong }: DataReport): void {
  if (!tooLong) return;
  const { rows, dropped, longest, policy } = tooLong;
  const fate =
    policy === 'drop'
      ? 'left out'
      : `${rows - dropped} cut, ${dropped} left out as nothing to learn remained`;
  emit({
    type: 'warning',
    message: `${rows} ${rows === 1 ? 'row is' : 'rows are'} longer than context_length ${config.data.context_length} (the longest has ${longest} tokens); ${fate} (data.truncate: ${policy}).`,
  });
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

/** Tokenises all of a run; the manifest is written last, so what it names is whole. */
async function prepare(run: Run, folder: string, encoder: Encoder): Promise<Manifest> {
  const { data } = run.config;
  const places = folders(folder);
  await rm(folder, { recursive: true, force: true });
  const share = typeof data.validation === 'number' ? data.validation : 0;
  const train = { path: data.train.path, folder: places.train, share, encoder };
  const { report, ...shape } = await tokenise(run, train);
  await probeTemplate(run, encoder);
  const validationFile =
    typeof data.validation === 'number'
      ? null
      : await tokenise(run, {
          path: data.validation.path,
          folder: places.validation,
          share: 0,
          encoder,
        });
  const manifest: Manifest = { schema, identity: run.identity, ...shape, report, validationFile };
  await writeJsonAtomic(places.manifest, manifest);
  return manifest;
}

async function readManifest(run: Run, folder: string): Promise<Manifest | null> {
  try {
    const found = JSON.parse(await readFile(folders(folder).manifest, 'utf8')) as Manifest;
    return found.schema === schema && found.identity === run.identity ? found : null;
  } catch {
    // Not there, or cut: made again.
    return null;
  }
}

function openStores(run: Run, folder: string, manifest: Manifest) {
  const { examplesPerItem } = methodTraits[run.config.method];
  const places = folders(folder);
  const own = openSplit(places.train, manifest, examplesPerItem);
  if (manifest.validationFile === null) return own;
  const other = openSplit(places.validation, manifest.validationFile, examplesPerItem);
  return {
    train: own.train,
    validation: other.train,
    [Symbol.dispose]: () => {
      own[Symbol.dispose]();
      other[Symbol.dispose]();
    },
  };
}

/** What an earlier sitting left, when it is whole. */
async function reopen(run: Run, folder: string) {
  const manifest = await readManifest(run, folder);
  if (manifest === null) return null;
  try {
    return { ...openStores(run, folder, manifest), report: manifest.report };
  } catch {
    // A file is gone or shorter: made again.
    return null;
  }
}

/** Tokenises and opens; a failure leaves no half of it behind. */
async function makeStores(run: Run, folder: string, encoder: Encoder) {
  try {
    const manifest = await prepare(run, folder, encoder);
    return { ...openStores(run, folder, manifest), report: manifest.report };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Training and validation examples of a run. `folder` keeps them between sittings. */
export async function loadData(
  run: Run,
  folder: string = join(run.output, 'examples'),
): Promise<RunData> {
  const encoder = await openEncoder({ model: run.config.model.path, data: run.config.data });
  const stores = (await reopen(run, folder)) ?? (await makeStores(run, folder, encoder));
  const close = stores[Symbol.dispose];
  return {
    encoder,
    ...stores,
    discard: async () => {
      close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
