// `corral export`: a tuned model in the form that something else takes. A folder of a run is exported by this machine
// alone; a model's name is the server's to export, to a path on the server's machine.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import {
  CorralError,
  exportDtypes,
  exportFormats,
  servingForms,
  type ExportConfigInput,
  type ExportResult,
  type ServingForm,
} from '@corral/contracts';
import { waitForOperation } from '@corral/sdk';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { UsageError } from '../failures.ts';
import { formatBytes } from '../format.ts';
import { localModelPath } from '../local-models.ts';
import { showOperation } from '../operation-progress.ts';
import { createProgress } from '../progress.ts';
import { quantise } from '../quantise-process.ts';
import { exportByTrainer } from '../trainer-process.ts';

/** Forms that the trainer writes by itself; the others are llama.cpp's mixtures. */
const directForms: ReadonlySet<ServingForm> = new Set(['f32', 'f16', 'bf16', 'q8_0']);

const chosen = <T extends string>(values: readonly T[], value: string | undefined): T | undefined =>
  values.find((known) => known === value);

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

/** One of llama.cpp's mixtures, by way of a GGUF that has all digits. */
async function exportMixture(
  context: Context,
  { form, ...config }: ExportConfigInput & { form: ServingForm },
  write: (config: ExportConfigInput) => Promise<ExportResult>,
): Promise<ExportResult> {
  if (existsSync(config.output))
    throw new CorralError('conflict', {
      params: { reason: `"${config.output}" exists already. Give another --output.` },
    });
  const whole = `${config.output}.partial-whole`;
  const part = `${config.output}.partial-form`;
  try {
    await rm(whole, { force: true });
    const result = await write({ ...config, output: whole });
    await quantise(context, { source: whole, target: part, ftype: form });
    await rename(part, config.output);
    const file = { bytes: (await stat(config.output)).size, sha256: await hashFile(config.output) };
    return {
      ...result,
      path: config.output,
      weights: form.toUpperCase(),
      bytes: file.bytes,
      files: { [basename(config.output)]: file },
    };
  } finally {
    for (const path of [whole, part]) await rm(path, { force: true });
  }
}

async function exportHere(context: Context, config: ExportConfigInput): Promise<ExportResult> {
  using progress = createProgress(context.io);
  const write = (wanted: ExportConfigInput) =>
    exportByTrainer(context, wanted, ({ name, done, total }) =>
      progress.update(name, total > 1 ? done / total : null),
    );
  const { form } = config;
  if (config.format !== 'gguf' || form === undefined || directForms.has(form)) return write(config);
  return exportMixture(context, { ...config, form }, write);
}

async function exportThere(
  context: Context,
  { source, output, format, dtype, form }: ExportConfigInput,
): Promise<ExportResult> {
  const client = await connect(context);
  const started = await client.models.export(source, { path: output, format, dtype, form });
  const ended = await showOperation(context.io, (onChange) =>
    waitForOperation(client, started, { onChange, signal: context.signal }),
  );
  return ended.result as unknown as ExportResult;
}

/** What the server found when it replayed the transcripts on the file. */
const describeParity = ({ parity }: ExportResult): string[] =>
  parity === undefined
    ? []
    : [
        `${parity.passed ? 'answers as it was trained' : 'does NOT answer as it was trained'}: greedy tokens agree ${(parity.greedy_agreement * 100).toFixed(1)} %, mean KL ${parity.mean_kl.toExponential(1)}`,
      ];

const describe = (result: ExportResult): string => {
  const { path, weights, bytes, notes } = result;
  const head = `${path}  (${weights === null ? '' : `${weights}, `}${formatBytes(bytes)})`;
  return [head, ...describeParity(result), ...notes].join('\n  ');
};

async function exportModel(context: Context, input: Input): Promise<void> {
  const name = input.arg(0);
  const here = localModelPath(name);
  const format = chosen(exportFormats, input.requiredText('format'));
  const form = chosen(servingForms, input.text('form'));
  if (format === undefined) throw new UsageError('--format is missing.', 'Give --format.');
  if (form !== undefined && format !== 'gguf')
    throw new UsageError(`--form is for --format gguf, not ${format}.`, 'Use --dtype.');
  const base = input.text('base');
  const config: ExportConfigInput = {
    source: here ?? name,
    ...(base !== undefined && { base: localModelPath(base) ?? resolve(base) }),
    format,
    output: resolve(input.requiredText('output')),
    dtype: chosen(exportDtypes, input.text('dtype')) ?? 'auto',
    ...(form !== undefined && { form }),
    other_base: input.flag('other-base'),
  };
  if (here === null && (base !== undefined || config.other_base))
    throw new UsageError(
      '--base and --other-base are for the folder of a run.',
      `"${name}" is none; a model of the server knows its base.`,
    );
  const result = await (here === null ? exportThere : exportHere)(context, config);
  show(context, result, `${context.io.colors.green('✓')} wrote ${describe(result)}`);
}

export const exportCommand: CommandSpec = {
  name: 'export',
  summary: 'write a tuned model in a form that other programs load',
  details:
    'MODEL is a model of the server, or the folder of a run (or any PEFT adapter), which needs no server. peft: the adapter alone. merged: a Hugging Face folder with the adapter in the weights, as safetensors. gguf: the same as one file for llama.cpp. onnx is not written. Nothing appears under PATH until it is whole.',
  args: [{ name: 'MODEL', description: 'a model of "corral models list", or a folder' }],
  options: [
    {
      flags: '--format FORMAT',
      description: 'what to write',
      choices: exportFormats,
      required: true,
    },
    { flags: '--output PATH', description: 'a new folder; for gguf a new file', required: true },
    {
      flags: '--dtype DTYPE',
      description: "of merged weights; auto: the base's, float16 where that is quantised",
      choices: exportDtypes,
    },
    {
      flags: '--form FORM',
      description: 'of a GGUF; otherwise as many bits as --dtype has',
      choices: servingForms,
    },
    { flags: '--base PATH', description: 'of a folder: the model it was trained on, if it moved' },
    {
      flags: '--other-base',
      description: 'of a folder: accept a base with other bytes than it was trained on',
    },
  ],
  examples: [
    {
      command: 'corral export out --format merged --output merged',
      says: 'a run, for transformers',
    },
    {
      command: 'corral export out --format gguf --form q4_k_m --output model.gguf',
      says: 'for llama.cpp',
    },
    {
      command:
        'corral export ft:smollm2-135m-instruct:default:ferry:abc --format peft --output adapter',
      says: 'the adapter of a job',
    },
  ],
  failure: 'The model was not exported.',
  run: exportModel,
};
