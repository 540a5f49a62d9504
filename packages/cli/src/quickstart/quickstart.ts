// The quickstart: the main job of Corral, end to end, in eight stages. This file is the order of the
// stages and the summary of their figures; each stage is a file of its own.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  quickstartSummarySchema,
  type Credentials,
  type ModelDetail,
  type Parity,
  type QuickstartSummary,
} from '@corral/contracts';
import { corralClientFor, openaiClientFor, type Context } from '../context.ts';
import { formatSeconds } from '../format.ts';
import { askStage, type Scores } from './ask-stage.ts';
import { dataStage, type CheckedData } from './data-stage.ts';
import { evidenceStage, type EvidenceSummary } from './evidence-stage.ts';
import { modelStage } from './model-stage.ts';
import { createNarrator, roundSeconds, type Narrator } from './narrator.ts';
import { nextStepBlocks } from './next-steps.ts';
import { proveStage } from './prove-stage.ts';
import { readQuestions } from './questions.ts';
import { defaultModel, examplesFor, fingerprint, trainingSections } from './quickstart-settings.ts';
import { startStage } from './start-stage.ts';
import { tuneStage, type TunedAdapter } from './tune-stage.ts';

export interface QuickstartOptions {
  /** Reference of the base model; the default one may be replaced by the miniature. */
  readonly model: string | null;
  /** Training file; null for the examples of examples/quickstart. */
  readonly data: string | null;
  readonly keep: boolean;
}

const ownAlias = 'quickstart';

interface Results {
  readonly base: ModelDetail;
  readonly data: CheckedData;
  readonly tuned: TunedAdapter;
  readonly parity: Parity;
  readonly scores: Scores;
  readonly evidence: EvidenceSummary;
  /** The name clients ask for, and a question to ask it. */
  readonly alias: string;
  readonly question: string;
}

/** The first user turns of a file without held-out questions. */
async function promptsOf(path: string): Promise<string[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, 100);
  return lines.flatMap((line) => {
    try {
      const { messages } = JSON.parse(line) as { messages?: { role: string; content: string }[] };
      const prompt = messages?.find(({ role }) => role === 'user')?.content;
      return prompt === undefined ? [] : [prompt];
    } catch {
      return [];
    }
  });
}

async function runStages(
  context: Context,
  narrator: Narrator,
  options: QuickstartOptions,
  credentials: Credentials,
): Promise<Results> {
  const client = corralClientFor(credentials, context.signal);
  const openai = openaiClientFor(credentials);
  const clients = { client, openai };
  const base = await modelStage(context, client, narrator, {
    ref: options.model ?? defaultModel,
    mayFallBack: options.model === null,
  });
  const sections = trainingSections(base.id, { ownData: options.data !== null });
  const examples = options.data === null ? examplesFor(base.id) : null;
  const path = examples?.train ?? options.data ?? '';
  const alias = examples?.alias ?? ownAlias;
  const contextLength = sections.data?.context_length;
  const data = await dataStage(context.io, clients, narrator, {
    path,
    model: base.id,
    ...(contextLength !== undefined && { contextLength }),
  });
  const tuned = await tuneStage(context, clients, narrator, {
    model: base.id,
    fileId: data.fileId,
    suffix: alias,
    sections,
    fingerprint: fingerprint({ baseSha256: base.sha256, dataSha256: data.sha256, sections }),
  });
  const parity = await proveStage(context, client, narrator, tuned);
  const scores = await askStage(context.io, clients, narrator, {
    base: base.id,
    model: tuned.model,
    alias,
    questions: examples === null ? [] : await readQuestions(examples.questions),
    prompts: examples === null ? await promptsOf(path) : [],
    signal: context.signal,
  });
  const evidence = await evidenceStage(client, narrator, {
    model: tuned.model,
    home: context.home,
  });
  const [question = 'Hello'] = await promptsOf(path);
  return { base, data, tuned, parity, scores, evidence, alias, question };
}

function summarize(results: Results, seconds: Readonly<Record<string, number>>): QuickstartSummary {
  const { base, data, tuned, parity, scores, evidence } = results;
  const { figures } = tuned.job.corral;
  const summary: QuickstartSummary = {
    base_model: base.id,
    source: base.source,
    rows: data.report.rows,
    tokens: data.report.tokens.total,
    loss_before: figures?.loss_before ?? null,
    loss_after: figures?.loss_after ?? null,
    score_base: scores.base,
    score_tuned: scores.tuned,
    questions: scores.questions,
    tokens_per_second: figures?.tokens_per_second ?? 0,
    gflops: figures?.gflops ?? 0,
    peak_memory_bytes: figures?.peak_memory_bytes ?? figures?.memory_bytes ?? 0,
    seconds: { ...seconds },
    parity: {
      prompt_tokens_equal: parity.prompt_tokens_equal,
      greedy_agreement: parity.greedy_agreement,
      mean_kl: parity.mean_kl,
    },
    fine_tuned_model: tuned.model,
    job_id: tuned.job.id,
    evidence,
    losses: [...tuned.losses],
  };
  return quickstartSummarySchema.parse(summary);
}

async function writeSummary(home: string, summary: QuickstartSummary): Promise<string> {
  const path = join(home, 'quickstart.json');
  await writeFile(`${path}.new`, `${JSON.stringify(summary, null, 2)}\n`);
  await rename(`${path}.new`, path);
  return path;
}

function showNext(
  context: Context,
  narrator: Narrator,
  next: { readonly baseUrl: string | null; readonly alias: string; readonly question: string },
): void {
  const { bold } = context.io.colors;
  narrator.stage('Next');
  const steps = {
    ...next,
    home: context.home,
    homeIsSet: context.env['CORRAL_HOME'] !== undefined,
  };
  for (const { title, text } of nextStepBlocks(steps)) {
    narrator.write(`\n${narrator.indent}${bold(title)}\n`);
    narrator.block(text);
  }
}

/** Runs all stages. @returns the summary, which is also in `$CORRAL_HOME/quickstart.json`. */
export async function quickstart(
  context: Context,
  options: QuickstartOptions,
): Promise<QuickstartSummary> {
  const started = performance.now();
  const narrator = createNarrator(context);
  const { bold, dim } = context.io.colors;
  narrator.write(
    `\n${bold('Corral quickstart')}  ${dim('a language model learns what no model can know')}\n`,
  );
  const server = await startStage(context, narrator, { keep: options.keep });
  let stays = false;
  try {
    const results = await runStages(context, narrator, options, server.credentials);
    stays = options.keep;
    if (!stays) await server.child?.close();
    const baseUrl = stays || server.child === null ? server.credentials.base_url : null;
    const install = Number(context.env['CORRAL_INSTALL_MS'] ?? 0);
    const total = performance.now() - started + install;
    const seconds = {
      install: roundSeconds(install),
      ...narrator.seconds,
      total: roundSeconds(total),
    };
    const summary = summarize(results, seconds);
    const path = await writeSummary(context.home, summary);
    const { alias, question } = results;
    showNext(context, narrator, { baseUrl, alias, question });
    const pid = stays ? server.child?.process.pid : undefined;
    const stop = pid === undefined ? '' : ` (to stop it: kill ${pid})`;
    const state =
      baseUrl === null ? 'everything is shut down' : `the server runs at ${baseUrl}${stop}`;
    narrator.write(
      `\n${bold(`Done in ${formatSeconds(total / 1000)}`)}; ${state}. ${dim(`All figures: ${path}`)}\n`,
    );
    return summary;
  } catch (error) {
    if (context.signal.aborted) {
      context.io.err('\n  Stopped. Run the same command again: it goes on where it was.\n');
    }
    throw error;
  } finally {
    if (stays) server.child?.release();
    else await server.child?.close();
  }
}
