// `corral data`: judge a training file before anything starts. With a model on this machine's disk the
// trainer answers alone; for a model of the server the file is uploaded and the server answers.
import { createReadStream, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CorralError, truncatePolicies, type DataReport } from '@corral/contracts';
import type { CommandSpec, Input, OptionSpec } from '../command-spec.ts';
import { connect, connectOpenAI, show, type Context } from '../context.ts';
import {
  formatKind,
  formatPreview,
  formatRowErrors,
  formatStats,
  formatTooLong,
} from '../data-report.ts';
import { exitCodes } from '../failures.ts';
import { formatCount } from '../format.ts';
import { localModelPath, rehearsalModel } from '../local-models.ts';
import { askTrainer } from '../trainer-process.ts';

async function report(context: Context, input: Input, preview: number): Promise<DataReport> {
  const file = resolve(input.arg(0));
  if (!existsSync(file)) throw new CorralError('file_not_found', { params: { path: file } });
  const model = input.text('model') ?? rehearsalModel;
  const contextLength = input.integer('context', { min: 8, max: 1_048_576 });
  const truncate = truncatePolicies.find((name) => name === input.text('truncate'));
  const path = localModelPath(model);
  if (path !== null) {
    const data = {
      train: file,
      ...(contextLength !== undefined && { context_length: contextLength }),
      ...(truncate !== undefined && { truncate }),
    };
    const extra = ['--preview', String(preview)];
    return askTrainer<DataReport>(context, 'check', { model: path, data }, extra);
  }
  const client = await connect(context);
  const openai = await connectOpenAI(context);
  const uploaded = await openai.files.create({
    file: createReadStream(file),
    purpose: 'fine-tune',
  });
  try {
    const answer = await client.data.check({
      fileId: uploaded.id,
      model,
      preview,
      ...(contextLength !== undefined && { contextLength }),
      ...(truncate !== undefined && { truncate }),
    });
    return { ...answer, path: file };
  } finally {
    // The copy was for this question only; a failure to remove it must not hide the answer.
    await openai.files.delete(uploaded.id).catch(() => undefined);
  }
}

const verdict = (found: DataReport): number =>
  found.error_count > 0 || found.examples === 0 ? exitCodes.failed : exitCodes.ok;

async function check(context: Context, input: Input): Promise<number> {
  const found = await report(context, input, 0);
  const { green, red } = context.io.colors;
  const good = found.rows - found.error_count;
  const summary =
    found.error_count > 0
      ? `${red('✗')} ${formatCount(found.error_count)} of ${formatCount(found.rows)} rows cannot be used\n\n${formatRowErrors(found, context.io.colors)}${formatTooLong(found)}`
      : found.examples === 0
        ? `${red('✗')} ${found.path} has no examples`
        : `${green('✓')} ${formatCount(good)} rows, ${formatCount(found.tokens.total)} tokens, no problem found\n  read as ${formatKind(found)}${formatTooLong(found)}`;
  show(context, found, summary);
  return verdict(found);
}

async function preview(context: Context, input: Input): Promise<number> {
  const count = input.integer('rows', { min: 1, max: 50 }) ?? 3;
  const found = await report(context, input, count);
  const { colors } = context.io;
  const legend = colors.isColorSupported
    ? `${colors.green('green')} = the model learns to write this; ${colors.dim('dim')} = it only reads this`
    : '⟦marked⟧ = the model learns to write this; the rest it only reads';
  const text = [
    ...found.preview.map(({ row, segments }, index) => {
      // A pair is shown as two, the better answer first.
      const side = index % 2 === 0 ? ', chosen' : ', rejected';
      const title = `row ${row}${found.format === 'preference' ? side : ''}`;
      return `${colors.bold(title)}\n${formatPreview(segments, colors)}\n`;
    }),
    ...(found.error_count > 0 ? [`${formatRowErrors(found, colors)}\n`] : []),
    legend,
  ].join('\n');
  show(context, found, text);
  return verdict(found);
}

async function stats(context: Context, input: Input): Promise<number> {
  const found = await report(context, input, 0);
  show(context, found, formatStats(found, context.io.colors));
  return verdict(found);
}

const fileArgument = {
  name: 'FILE',
  description: 'JSON lines, JSON list, CSV, Parquet or plain text; see docs/guides/data.md',
};
const options: readonly OptionSpec[] = [
  {
    flags: '--model MODEL',
    description:
      'whose tokenizer and template to use: a path, "rehearsal", or a model of the server',
    fallback: rehearsalModel,
  },
  { flags: '--context TOKENS', description: 'longest example allowed' },
  {
    flags: '--truncate POLICY',
    description: 'of longer examples: error, leave them out, or cut their ends',
    choices: truncatePolicies,
  },
];

export const dataCommand: CommandSpec = {
  name: 'data',
  summary: 'check, preview and measure a training file',
  examples: [
    { command: 'corral data check train.jsonl', says: 'every row that cannot be used, and why' },
    { command: 'corral data preview train.jsonl', says: 'what the model will see and learn' },
  ],
  failure: 'The data could not be checked.',
  subcommands: [
    {
      name: 'check',
      summary: 'name every row that cannot be used, the reason and the fix',
      args: [fileArgument],
      options,
      examples: [
        { command: 'corral data check train.jsonl', says: 'exit code 1 when a row is bad' },
        {
          command: 'corral data check train.jsonl --context 512 --truncate cut',
          says: 'how many would be cut',
        },
      ],
      failure: 'The data could not be checked.',
      run: check,
    },
    {
      name: 'preview',
      summary: 'show rendered examples with their loss mask',
      args: [fileArgument],
      options: [
        ...options,
        { flags: '--rows NUMBER', description: 'how many examples', fallback: '3' },
      ],
      examples: [
        { command: 'corral data preview train.jsonl --rows 1', says: 'one example' },
        {
          command: 'corral data preview train.jsonl --model ./model.gguf',
          says: "with another model's template",
        },
      ],
      failure: 'The data could not be shown.',
      run: preview,
    },
    {
      name: 'stats',
      summary: 'count rows and tokens',
      args: [fileArgument],
      options,
      examples: [{ command: 'corral data stats train.jsonl --json', says: 'for a script' }],
      failure: 'The data could not be measured.',
      run: stats,
    },
  ],
};
