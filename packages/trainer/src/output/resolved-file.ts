// `resolved-config.json`: what this folder's run is a function of, written before anything starts. A later
// sitting takes the number of threads from it, because sums are cut by threads: the same bytes need the
// same number.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResolvedRunConfig } from '../config/resolve-config.ts';
import { writeJsonAtomic } from './atomic-file.ts';

interface ResolvedFile {
  readonly identity: string;
  readonly config: ResolvedRunConfig;
}

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
  const path = join(output, 'resolved-config.json');
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
