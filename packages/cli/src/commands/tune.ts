// `corral tune`: upload a file and start a fine-tuning job on it, through the official client.
import { createReadStream, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CorralError, fineTuningJobSchema, trainingMethods } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import { readConfigFile } from '../config-file.ts';
import { connectOpenAI, show, type Context } from '../context.ts';
import { UsageError } from '../failures.ts';
import { watchToEnd } from './jobs.ts';

/** The sections of --config, with --method above them; undefined when neither is given. */
async function readSections(input: Input): Promise<Record<string, unknown> | undefined> {
  const path = input.text('config');
  const method = input.text('method');
  if (path === undefined) return method === undefined ? undefined : { method };
  return { ...(await readConfigFile(path)), ...(method !== undefined && { method }) };
}

async function tune(context: Context, input: Input): Promise<void> {
  const [base, file] = [input.arg(0), resolve(input.arg(1))];
  const epochs = input.number('epochs', { min: 0, max: 10_000 });
  if (epochs === 0) throw new UsageError('--epochs is "0".', 'Give a number above 0.');
  const config = await readSections(input);
  const validation = input.text('validation');
  for (const path of [file, ...(validation === undefined ? [] : [resolve(validation)])]) {
    if (!existsSync(path)) throw new CorralError('file_not_found', { params: { path } });
  }
  const openai = await connectOpenAI(context);
  const upload = async (path: string) =>
    (await openai.files.create({ file: createReadStream(path), purpose: 'fine-tune' })).id;
  const suffix = input.text('suffix');
  const body = {
    model: base,
    training_file: await upload(file),
    ...(validation !== undefined && { validation_file: await upload(resolve(validation)) }),
    ...(suffix !== undefined && { suffix }),
    ...(epochs !== undefined && { hyperparameters: { n_epochs: epochs } }),
    ...(config !== undefined && { corral: { config } }),
  };
  const job = fineTuningJobSchema.parse(
    await openai.fineTuning.jobs.create(body, { signal: context.signal }),
  );
  if (input.flag('watch')) {
    context.io.err(`${context.io.colors.dim(`job ${job.id}`)}\n`);
    return watchToEnd(context, job.id);
  }
  const next = `Follow it with "corral jobs watch ${job.id}".`;
  show(context, job, `${context.io.colors.green('✓')} started ${job.id}\n  ${next}`);
}

export const tuneCommand: CommandSpec = {
  name: 'tune',
  summary: 'fine-tune a base model on a file of examples',
  details:
    'Uploads FILE and starts a job on the server. The result is a model of its own; deploy it with "corral deploy".',
  args: [
    {
      name: 'BASE',
      description: 'a model of "corral models list"; a fine-tuned one goes on from where it is',
    },
    { name: 'FILE', description: 'training examples; see docs/guides/data.md' },
  ],
  options: [
    {
      flags: '--method METHOD',
      description:
        'lora; qlora keeps the base in 4 or 8 bits; dpo learns from preference pairs; full trains every weight; pretrain does so on plain text',
      choices: trainingMethods,
    },
    { flags: '--suffix TEXT', description: 'a word for the name of the new model' },
    { flags: '--epochs NUMBER', description: 'passes over the examples' },
    { flags: '--validation FILE', description: 'examples to measure by; else a share of FILE' },
    {
      flags: '--config FILE',
      description:
        'method, data, lora, train, dpo, checkpoint and runtime of a run configuration (YAML)',
    },
    { flags: '--watch', description: 'follow the job to its end' },
  ],
  examples: [
    {
      command: 'corral tune smollm2-135m-instruct train.jsonl --suffix ferry --watch',
      says: 'start and follow',
    },
    {
      command: 'corral tune smollm2-135m-instruct train.jsonl --epochs 3',
      says: 'start and return at once',
    },
    {
      command: 'corral tune smollm2-135m-instruct pairs.jsonl --method dpo --watch',
      says: 'learn which of two answers is better',
    },
    {
      command: 'corral tune smollm2-135m-instruct handbook.txt --method pretrain',
      says: 'go on reading, as a model of its own',
    },
  ],
  failure: 'The tuning did not succeed.',
  run: tune,
};
