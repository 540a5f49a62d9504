// `corral models`: base models and adapters of the server: list, show, pull, import, remove.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ModelDetail, Operation, ServingForm } from '@corral/contracts';
import { servingForms } from '@corral/contracts';
import { waitForOperation } from '@corral/sdk';
import type { CommandSpec, Input, OptionSpec } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { CommandError } from '../failures.ts';
import { formatBytes, formatCount, formatFields, formatTable, formatTime } from '../format.ts';
import { showOperation } from '../operation-progress.ts';

const parameters = (count: number | null): string | null => {
  if (count === null) return null;
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} B` : `${(count / 1e6).toFixed(1)} M`;
};

async function list(context: Context): Promise<void> {
  const models = await (await connect(context)).models.list();
  const rows = models.map((model) => [
    model.id,
    model.kind,
    model.base,
    parameters(model.parameters),
    model.serving_format,
    formatBytes(model.bytes),
    model.deployed ? 'yes' : 'no',
  ]);
  const head = ['MODEL', 'KIND', 'BASE', 'PARAMETERS', 'SERVED AS', 'SIZE', 'DEPLOYED'];
  const text =
    models.length === 0
      ? 'No models yet. Get one with "corral models pull smollm2-135m-instruct".'
      : formatTable(head, rows, context.io.colors.bold);
  show(context, models, text);
}

function describeParity({ parity }: ModelDetail): string {
  if (parity === null) return 'not checked';
  const { transcripts, greedy_agreement, mean_kl, passed, first_difference: first } = parity;
  const figures = `${transcripts} transcripts, greedy tokens agree ${(greedy_agreement * 100).toFixed(1)} %, mean KL ${mean_kl.toExponential(1)}`;
  const verdict = passed ? 'passed' : 'failed';
  if (first === null) return `${verdict}: ${figures}`;
  return `${verdict}: ${figures}; first difference in transcript ${first.transcript} at position ${first.position}: ${first.likely_cause}`;
}

async function showOne(context: Context, input: Input): Promise<void> {
  const model = await (await connect(context)).models.get(input.arg(0));
  const text = formatFields(
    [
      ['model', model.id],
      ['kind', model.base === null ? model.kind : `${model.kind} on ${model.base}`],
      ['source', model.source],
      ['licence', [model.license.id, model.license.url].filter(Boolean).join('  ')],
      ['parameters', model.parameters === null ? 'unknown' : formatCount(model.parameters)],
      ['format', `${model.format}, served as ${model.serving_format}`],
      ['size', formatBytes(model.bytes)],
      ['sha256', model.sha256],
      ['created', formatTime(model.created)],
      ['deployed', model.deployed ? 'yes' : 'no'],
      ...(model.note ? ([['note', model.note]] as const) : []),
      ['made by', model.job_id ?? 'import'],
      ...(model.derived_from ? ([['trained on', model.derived_from]] as const) : []),
      ['parity', describeParity(model)],
    ],
    context.io.colors.dim,
  );
  show(context, model, text);
}

async function finish(context: Context, operation: Operation, verb: string): Promise<void> {
  const client = await connect(context);
  const ended = await showOperation(context.io, (onChange) =>
    waitForOperation(client, operation, { onChange, signal: context.signal }),
  );
  const id = ended.result?.['id'] ?? ended.result?.['model'];
  const name = typeof id === 'string' ? id : 'the model';
  const note = ended.result?.['note'];
  const lines = [`${context.io.colors.green('✓')} ${verb} ${name}`];
  if (typeof note === 'string') lines.push(context.io.colors.yellow(note));
  show(context, ended, lines.join('\n'));
}

const servingForm = (input: Input): ServingForm | undefined =>
  servingForms.find((form) => form === input.text('serving-form'));

async function pull(context: Context, input: Input): Promise<void> {
  const client = await connect(context);
  const acceptLicense = input.flag('accept-license');
  const wanted = { ref: input.arg(0), acceptLicense, servingForm: servingForm(input) };
  await finish(context, await client.models.pull(wanted), 'pulled');
}

async function importModel(context: Context, input: Input): Promise<void> {
  const path = resolve(input.arg(0));
  if (!existsSync(path)) throw new CommandError(`There is no file "${path}".`, 'Check the path.');
  const client = await connect(context);
  const wanted = { path, id: input.text('id'), servingForm: servingForm(input) };
  await finish(context, await client.models.import(wanted), 'imported');
}

async function remove(context: Context, input: Input): Promise<void> {
  const id = input.arg(0);
  await (await connect(context)).models.delete(id);
  show(context, { id, deleted: true }, `${context.io.colors.green('✓')} removed ${id}`);
}

const servingFormOption: OptionSpec = {
  flags: '--serving-form FORM',
  description: 'what the engine reads; otherwise as it came where that is fast, else q8_0',
  choices: servingForms,
};

const modelArgument = { name: 'ID', description: 'a model of "corral models list"' };

export const modelsCommand: CommandSpec = {
  name: 'models',
  summary: 'list, show, pull, import and remove models',
  examples: [
    { command: 'corral models list', says: 'what is here' },
    { command: 'corral models pull smollm2-135m-instruct', says: 'get a base model' },
  ],
  failure: 'The models could not be read.',
  subcommands: [
    {
      name: 'list',
      summary: 'list base models and adapters',
      examples: [{ command: 'corral models list', says: 'as a table' }],
      failure: 'The models could not be listed.',
      run: list,
    },
    {
      name: 'show',
      summary: 'show one model: source, licence, digest, parity',
      args: [modelArgument],
      examples: [{ command: 'corral models show smollm2-135m-instruct', says: 'all about it' }],
      failure: 'The model could not be shown.',
      run: showOne,
    },
    {
      name: 'pull',
      summary: 'download a base model, resumable, verified by SHA-256',
      args: [
        {
          name: 'REF',
          description: 'an alias, hf:OWNER/NAME[@REV] or modelscope:OWNER/NAME',
        },
      ],
      options: [
        {
          flags: '--accept-license',
          description: 'accept the licence of the model after reading it',
        },
        servingFormOption,
      ],
      examples: [
        { command: 'corral models pull smollm2-135m-instruct', says: 'by alias' },
        {
          command: 'corral models pull hf:HuggingFaceTB/SmolLM2-135M-Instruct',
          says: 'from a hub',
        },
      ],
      failure: 'The model was not pulled.',
      run: pull,
    },
    {
      name: 'import',
      summary: 'take a model from this machine: a GGUF file or a folder of safetensors',
      args: [{ name: 'PATH', description: 'a GGUF file, or a folder with config.json' }],
      options: [{ flags: '--id NAME', description: 'the name to give it' }, servingFormOption],
      examples: [
        { command: 'corral models import ./my-model.gguf --id my-model', says: 'from a file' },
        {
          command: 'corral models import ./Llama-2-7b-hf --id llama-2-7b --serving-form q4_k_m',
          says: 'a Hugging Face folder, served in 4 bits',
        },
      ],
      failure: 'The model was not imported.',
      run: importModel,
    },
    {
      name: 'rm',
      summary: 'remove a model and its files',
      args: [modelArgument],
      examples: [{ command: 'corral models rm my-model', says: 'it must not be deployed' }],
      failure: 'The model was not removed.',
      run: remove,
    },
  ],
};
