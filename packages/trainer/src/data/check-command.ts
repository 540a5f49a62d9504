// `check` and `preview`: judge the data of a run configuration with the tokenizer and template of its
// model, before anything is started. Opens no weights.
import { isAbsolute, resolve } from 'node:path';
import type { DataReport, RunConfig } from '@corral/contracts';
import { methodTraits } from '../config/methods.ts';
import { checkData } from './check-data.ts';
import { openRowEncoder } from './open-row-encoder.ts';

export interface CheckCommandOptions {
  /** Where relative paths of the configuration start. */
  readonly folder: string;
  readonly preview?: number;
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Reports on the training file of a configuration; bad rows are in the report.
 * Throws CorralError for a missing file or a model without a usable tokenizer.
 */
export async function checkCommand(
  config: RunConfig,
  { folder, preview = 0, onProgress }: CheckCommandOptions,
): Promise<DataReport> {
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(folder, path));
  const path = absolute(config.data.train);
  const options = { model: absolute(config.model), data: config.data };
  await using encoder = await openRowEncoder(path, options, config.runtime.threads);
  return checkData(path, encoder, {
    format: config.data.format,
    // Asked without a method, a file of pairs is judged as such.
    pairs: methodTraits[config.method].examplesPerItem === 2 ? 'only' : 'any',
    preview,
    truncate: config.data.truncate,
    ...(onProgress ? { onProgress } : {}),
  });
}
