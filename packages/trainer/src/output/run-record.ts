// What a finished run leaves beside its weights: run.json (what was done, with what, how fast), a model
// card draft and the loss curve. run.json is written last: with it, the folder is complete.
import { readFile, readdir, stat } from 'node:fs/promises';
import { arch, cpus, platform } from 'node:os';
import { basename, join } from 'node:path';
import type { DataReport, RunEvent } from '@corral/contracts';
import packageJson from '../../package.json' with { type: 'json' };
import { methodTraits } from '../config/methods.ts';
import type { ResolvedRunConfig } from '../config/resolve-config.ts';
import { hashFile } from '../data/line-reader.ts';
import { writeFileAtomic, writeJsonAtomic } from './atomic-file.ts';
import { drawLossCurve } from './loss-curve.ts';

/** The figures of a `finished` event. */
export interface RunFigures {
  readonly step: number;
  readonly loss_before: number | null;
  readonly loss_after: number | null;
  readonly tokens: number;
  readonly seconds: number;
  readonly tokens_per_second: number;
  readonly gflops: number;
  readonly peak_memory_bytes: number;
}

export interface RunRecord {
  readonly schema: 'corral-run-record/1';
  readonly identity: string;
  readonly config: ResolvedRunConfig;
  readonly data: Omit<DataReport, 'preview' | 'errors' | 'path'>;
  readonly versions: Record<string, string>;
  readonly figures: RunFigures;
  /** Files of the folder with their size and SHA-256. */
  readonly files: Record<string, { readonly bytes: number; readonly sha256: string }>;
}

const recordPath = (output: string): string => join(output, 'run.json');

const versions = (): Record<string, string> => ({
  corral: packageJson.version,
  onnxruntime: packageJson.dependencies['onnxruntime-node'],
  node: process.versions.node,
  platform: `${platform()}-${arch()}`,
  cpu: cpus()[0]?.model ?? 'unknown',
});

const isRecord = (value: unknown): value is RunRecord =>
  typeof value === 'object' &&
  value !== null &&
  'schema' in value &&
  value.schema === 'corral-run-record/1';

/** The record of an output folder whose run has finished; null otherwise, and for another program's run.json. */
export async function readRunRecord(output: string): Promise<RunRecord | null> {
  try {
    const value: unknown = JSON.parse(await readFile(recordPath(output), 'utf8'));
    return isRecord(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

const format = (value: number | null, digits = 4): string =>
  value === null ? '–' : value.toFixed(digits);

const productsIn = {
  float32: 'float32',
  int8: '8-bit integers in training, float32 in validation',
};

function modelCard(record: Pick<RunRecord, 'config' | 'data' | 'figures' | 'identity'>): string {
  const { config, data, figures, identity } = record;
  const { train, lora } = config;
  const { trainsAdapter } = methodTraits[config.method];
  const settings = [
    ['method', config.method],
    ...(trainsAdapter
      ? [
          ['LoRA', `rank ${lora.rank}, alpha ${lora.alpha}`],
          ['products with the base', productsIn[config.runtime.precision]],
        ]
      : []),
    ...(config.method === 'dpo' ? [['beta', String(config.dpo.beta)]] : []),
    // Steps, where they are given, end the run before its epochs.
    ...(train.max_steps === null ? [['epochs', String(train.epochs)]] : []),
    ['examples a step', String(train.batch_size * train.gradient_accumulation)],
    ['learning rate', `${train.learning_rate} (${train.schedule})`],
    ['context length', String(config.data.context_length)],
    ['seed', String(train.seed)],
  ];
  // The head that hubs read: an adapter names its base, which is loaded first.
  const head = [
    `base_model: ${JSON.stringify(basename(config.model.path))}`,
    `library_name: ${trainsAdapter ? 'peft' : 'transformers'}`,
    'pipeline_tag: text-generation',
  ];
  return `---
${head.join('\n')}
---

# ${basename(config.model.path)}, trained with Corral

> Draft of a model card. Describe what the model is for, what it is not for, and the terms of the base model's licence.

![Loss by step](loss.svg)

| | before | after |
|---|---|---|
| validation loss | ${format(figures.loss_before)} | ${format(figures.loss_after)} |

## Training

| setting | value |
|---|---|
${settings.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}
| steps | ${figures.step} |
| data | ${data.examples} examples, ${data.tokens.total} tokens, SHA-256 \`${data.sha256}\` |
| base model | SHA-256 \`${config.model.sha256}\` |
| run identity | \`${identity}\` |
| speed | ${format(figures.tokens_per_second, 1)} tokens/s, ${format(figures.gflops, 1)} GFLOP/s |
| peak memory | ${format(figures.peak_memory_bytes / 2 ** 20, 0)} MiB |

The same configuration, data and base model give the same bytes on the same machine: see \`run.json\`.
`;
}

/** Sizes and hashes of the folder's files (not of its subfolders, its log or its record). */
async function listFiles(output: string): Promise<RunRecord['files']> {
  const files: RunRecord['files'] = {};
  for (const name of (await readdir(output)).toSorted()) {
    if (name.startsWith('.') || name === 'run.json' || name === 'events.jsonl') continue;
    const path = join(output, name);
    const info = await stat(path);
    if (info.isFile()) files[name] = { bytes: info.size, sha256: await hashFile(path) };
  }
  return files;
}

/** Writes loss.svg, README.md and, last, run.json. */
export async function writeRunRecord(
  output: string,
  record: Pick<RunRecord, 'identity' | 'config' | 'figures'> & { readonly report: DataReport },
  events: readonly RunEvent[],
): Promise<void> {
  const { report, ...rest } = record;
  const { preview: _preview, errors: _errors, path: _path, ...data } = report;
  const curve = drawLossCurve(events);
  if (curve !== null) await writeFileAtomic(join(output, 'loss.svg'), curve);
  await writeFileAtomic(join(output, 'README.md'), modelCard({ ...rest, data }));
  await writeJsonAtomic(recordPath(output), {
    schema: 'corral-run-record/1',
    ...rest,
    data,
    versions: versions(),
    files: await listFiles(output),
  } satisfies RunRecord);
}
