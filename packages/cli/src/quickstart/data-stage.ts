// Stage 3: the training file goes to the server, is checked row by row, and one example is shown as the
// model will see it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { CorralError, type DataReport } from '@corral/contracts';
import type { CorralClient } from '@corral/sdk';
import type OpenAI from 'openai';
import { formatPreview, formatRowErrors } from '../data-report.ts';
import { formatCount } from '../format.ts';
import type { Io } from '../io.ts';
import type { Narrator } from './narrator.ts';

export interface CheckedData {
  readonly fileId: string;
  readonly sha256: string;
  readonly report: DataReport;
}

/** The file as the server holds it: an earlier upload of the same bytes is used again. */
async function upload(openai: OpenAI, path: string, sha256: string): Promise<string> {
  // The digest in the name makes an earlier upload of the same bytes recognisable.
  const name = `${basename(path).replace(/\.[^.]*$/, '')}-${sha256.slice(0, 12)}.jsonl`;
  for await (const file of openai.files.list({ purpose: 'fine-tune', limit: 100 })) {
    if (file.filename === name) return file.id;
  }
  const file = new File([await readFile(path)], name);
  return (await openai.files.create({ file, purpose: 'fine-tune' })).id;
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

export async function dataStage(
  { colors }: Pick<Io, 'colors'>,
  clients: { readonly client: CorralClient; readonly openai: OpenAI },
  narrator: Narrator,
  input: { readonly path: string; readonly model: string; readonly contextLength?: number },
): Promise<CheckedData> {
  narrator.stage('Data');
  const sha256 = await digest(input.path);
  const fileId = await upload(clients.openai, input.path, sha256);
  const { model, contextLength } = input;
  const report = await clients.client.data.check({
    fileId,
    model,
    preview: 1,
    ...(contextLength !== undefined && { contextLength }),
  });
  if (report.error_count > 0) {
    narrator.block(formatRowErrors(report, colors));
    throw new CorralError('data_invalid', {
      params: { error_count: report.error_count, rows: report.rows, details: 'They stand above.' },
    });
  }
  if (report.examples === 0) throw new CorralError('data_empty', { params: { path: input.path } });
  const { tokens } = report;
  narrator.done(
    `${formatCount(report.examples)} examples, ${formatCount(tokens.total)} tokens (longest ${tokens.max}), every row can be used`,
  );
  const [first] = report.preview;
  if (first !== undefined) {
    const learnt = colors.isColorSupported ? colors.green('green') : '⟦marked⟧';
    narrator.note(
      `example ${first.row} as the model sees it; it learns to write what is ${learnt}:`,
    );
    narrator.block(formatPreview(first.segments, colors));
  }
  narrator.book('data');
  return { fileId, sha256, report };
}
