// The files of one run under CORRAL_HOME/runs: its configuration, links to its data, its output. The links
// carry the ending by which the trainer tells plain text from JSONL, and keep the data until the run ends.
import { copyFile, link, mkdir, rm, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { stringify } from 'yaml';
import { withPaths } from './run-config-mapping.ts';
import type { StoredRunConfig } from './fine-tuning-tables.ts';

export interface RunFolder {
  readonly config: string;
  /** The same with the validation file in the place of the training file, to check it. */
  readonly validationConfig: string;
  readonly output: string;
  readonly log: string;
}

export interface DataFile {
  readonly path: string;
  readonly filename: string;
}

/** What the trainer reads, by the ending of the name that a file was uploaded under. */
const dataEndings: Readonly<Record<string, string>> = {
  '': '.jsonl',
  '.jsonl': '.jsonl',
  '.ndjson': '.jsonl',
  '.json': '.json',
  '.csv': '.csv',
  '.tsv': '.tsv',
  '.parquet': '.parquet',
  '.txt': '.txt',
  '.md': '.txt',
};
const endingOf = (filename: string): string => extname(filename).toLowerCase();

/** Throws `invalid_request` for a file that no trainer reads. */
export function requireDataEnding(filename: string, param: string): void {
  if (Object.hasOwn(dataEndings, endingOf(filename))) return;
  const reason = `The file "${filename}" cannot be trained on: give JSON lines (.jsonl), a JSON list (.json), CSV (.csv, .tsv), Parquet (.parquet) or plain text (.txt, .md).`;
  throw new CorralError('invalid_request', { params: { reason }, param });
}

const runFolder = (root: string): RunFolder => ({
  config: join(root, 'run.yaml'),
  validationConfig: join(root, 'validation.yaml'),
  output: join(root, 'output'),
  log: join(root, 'trainer.log'),
});

/** Writes the configuration and the data links. The same inputs give the same files. */
export async function prepareRunFolder(
  root: string,
  run: {
    config: StoredRunConfig;
    model: string;
    /** The adapter folder to go on from. */
    init: string | null;
    training: DataFile;
    validation: DataFile | null;
  },
): Promise<RunFolder> {
  const folder = runFolder(root);
  const data = join(root, 'data');
  await mkdir(data, { recursive: true, mode: 0o700 });
  const train = await linkData(run.training, join(data, 'train'));
  const validation =
    run.validation === null ? null : await linkData(run.validation, join(data, 'validation'));
  const { model, init } = run;
  const config = withPaths(run.config, { model, init, train, validation });
  await writeFile(folder.config, stringify(config), { mode: 0o600 });
  if (validation !== null) {
    const swapped = withPaths(run.config, { model, init, train: validation, validation: null });
    await writeFile(
      folder.validationConfig,
      stringify({ ...swapped, data: { ...swapped.data, validation: 0 } }),
      { mode: 0o600 },
    );
  }
  return folder;
}

/** What an ended run needs no more: its data links; of one that succeeded its checkpoints; of a cancelled one all. */
export async function clearRunFolder(
  root: string,
  { everything, checkpoints }: { everything: boolean; checkpoints: boolean },
): Promise<void> {
  const parts = everything ? [root] : [join(root, 'data')];
  // Of a whole model they are several times the model.
  if (checkpoints) parts.push(join(root, 'output', 'checkpoints'));
  for (const part of parts) await rm(part, { recursive: true, force: true });
}

async function linkData({ path, filename }: DataFile, target: string): Promise<string> {
  const named = target + (dataEndings[endingOf(filename)] ?? '.jsonl');
  await rm(named, { force: true });
  try {
    await link(path, named);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'ENOTSUP') throw error;
    await copyFile(path, named);
  }
  return named;
}
