// `check` and `preview`: judge the data of a run configuration with the tokenizer and template of its
// model, before anything is started. Opens no weights.
import { isAbsolute, resolve } from 'node:path';
import type { DataReport, RunConfig } from '@corral/contracts';
import { checkData } from './check-data.ts';
import { createChatTemplate } from './chat-template.ts';
import type { Encoder } from './encode.ts';
import { openTokenizer } from './open-tokenizer.ts';

/** The tokenizer and chat template of a model, with the data section's choices. */
export async function openEncoder(
  modelPath: string,
  data: Pick<RunConfig['data'], 'loss_on' | 'context_length'>,
): Promise<Encoder> {
  const tokenizer = await openTokenizer(modelPath);
  return {
    tokenizer,
    template: createChatTemplate(tokenizer.chatTemplate, tokenizer, modelPath),
    lossOn: data.loss_on,
    contextLength: data.context_length,
  };
}

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
  const encoder = await openEncoder(absolute(config.model), config.data);
  return checkData(absolute(config.data.train), encoder, {
    format: config.data.format,
    // Asked without a method, a file of pairs is judged as such.
    pairs: config.method === 'dpo' ? 'only' : 'any',
    preview,
    ...(onProgress ? { onProgress } : {}),
  });
}
