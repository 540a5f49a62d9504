// `resolved-config.json`: what this folder's run is a function of, written before anything starts. A later
// sitting takes from it what changes last digits and depends on the machine: the number of threads, by which
// sums are cut, and what the run did without to fit its memory.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ResolvedRunConfig, runIdentity } from '../config/resolve-config.ts';
import { writeJsonAtomic } from './atomic-file.ts';

/** What a run does without to fit its memory: neither changes what is computed, but for the last digits. */
interface Savings {
  /** Activations are computed again instead of kept. */
  readonly recompute: boolean;
  /** A frozen base stays in the blocks of its file. */
  readonly packedBase: boolean;
}

interface ResolvedFile {
  readonly identity: string;
  readonly config: ResolvedRunConfig;
  /** Absent until the data were read. */
  readonly memory?: Savings;
}

const pathIn = (output: string): string => join(output, 'resolved-config.json');

async function read(path: string): Promise<ResolvedFile | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ResolvedFile;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * The configuration this sitting runs with: the given one, with the threads of the first sitting when
 * `threadsAreAuto`. `warn` hears of a number of threads that was changed by hand.
 */
export async function settleConfig(
  output: string,
  { identity, config }: ResolvedFile,
  options: { readonly threadsAreAuto: boolean; readonly warn: (message: string) => void },
): Promise<ResolvedRunConfig> {
  const path = pathIn(output);
  const before = await read(path);
  if (before?.identity !== identity) {
    await writeJsonAtomic(path, { identity, config } satisfies ResolvedFile);
    return config;
  }
  const { threads } = before.config.runtime;
  if (threads === config.runtime.threads) return config;
  if (options.threadsAreAuto) return { ...config, runtime: { ...config.runtime, threads } };
  options.warn(
    `This run began with ${threads} threads and goes on with ${config.runtime.threads}: the last digits may differ from an undisturbed run.`,
  );
  return config;
}

/**
 * `config`, whose precision was left to the machine, with the precision in which this folder's run began: another
 * processor would choose another, and then it would be another run.
 */
export async function keepPrecision(
  output: string,
  config: ResolvedRunConfig,
): Promise<ResolvedRunConfig> {
  const before = await read(pathIn(output));
  if (before === null) return config;
  const { precision } = before.config.runtime;
  const kept = { ...config, runtime: { ...config.runtime, precision } };
  return runIdentity(kept) === before.identity ? kept : config;
}

/** What the first sitting of this run did without; null in the first sitting. */
export async function readSavings(output: string, identity: string): Promise<Savings | null> {
  const before = await read(pathIn(output));
  return before?.identity === identity ? (before.memory ?? null) : null;
}

/** Keeps what this sitting does without, for the next ones. The file is there, and this run's own. */
export async function writeSavings(
  output: string,
  identity: string,
  memory: Savings,
): Promise<void> {
  const path = pathIn(output);
  const before = await read(path);
  if (before?.identity === identity)
    await writeJsonAtomic(path, { ...before, memory } satisfies ResolvedFile);
}
