// From what a run made to a model: store it, prove it, publish its figures, register it. Each step may be
// repeated after a crash.
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CorralError, type Parity } from '@corral/contracts';
import type { ArtifactStore } from '../../artifacts/artifact-store.ts';
import { auditFromSystem, type AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort, ParityPort, ParitySubject, TrainedResult } from '../models/index.ts';
import { eventStore, jobStore, type JobRow, type Lease } from './fine-tuning-store.ts';
import { resultOf } from './job-method.ts';
import { moveJob, type Move } from './job-moves.ts';
import { metricsCsv } from './metrics-csv.ts';

export interface FinishDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly artifacts: Pick<ArtifactStore, 'put'>;
  readonly files: Pick<FilesService, 'stage' | 'create'>;
  readonly models: Pick<ModelsPort, 'registerTrained' | 'resolveBase' | 'takeIn'>;
  readonly parity: ParityPort;
}

export interface FinishOptions {
  readonly row: JobRow;
  readonly lease: Lease;
  readonly output: string;
  readonly signal: AbortSignal;
}

/** Ends the job as succeeded, or as failed when the result does not answer as it was trained. */
export async function finishRun(deps: FinishDependencies, options: FinishOptions): Promise<void> {
  const { row, output, signal } = options;
  const goldenPath = join(output, 'golden.json');
  const result = await storeResult(deps, options);
  const parity = await deps.parity.check({
    project: row.project_id,
    subject: await subjectOf(deps, row, result),
    goldenPath,
    signal,
  });
  const resultFiles =
    row.result_files.length > 0 ? row.result_files : [await publishMetrics(deps, row)];
  await settle(deps, options, { result, goldenPath, parity, resultFiles });
}

const servedFiles = { adapter: 'adapter.gguf', model: 'model-q8_0.gguf' } as const;

async function storeResult(
  { artifacts, models }: FinishDependencies,
  { row, output, signal }: FinishOptions,
): Promise<TrainedResult> {
  const kind = resultOf(row.config.method);
  for (const name of [servedFiles[kind], 'golden.json'])
    if (!existsSync(join(output, name)))
      throw new CorralError('training_failed', {
        params: { reason: `the trainer left no ${name}`, job: '' },
      });
  if (kind === 'model') return models.takeIn(output, signal);
  const gguf = await artifacts.put(createReadStream(join(output, servedFiles.adapter)));
  return { kind, gguf };
}

async function subjectOf(
  { db, models }: FinishDependencies,
  row: JobRow,
  result: TrainedResult,
): Promise<ParitySubject> {
  const { path: ggufPath } = result.gguf;
  if (result.kind === 'model') {
    const { format } = result.gguf;
    return { kind: 'model', id: row.adapter_id, ggufPath, format };
  }
  const { base } = await models.resolveBase(db, row.project_id, row.model);
  return { kind: 'adapter', base, ggufPath };
}

async function publishMetrics({ db, files }: FinishDependencies, row: JobRow): Promise<string> {
  const rows = await eventStore.listMetrics(db, row.id);
  const staged = await files.stage(Readable.from([Buffer.from(metricsCsv(rows))]));
  try {
    const { id } = await files.create(staged, {
      project: row.project_id,
      filename: 'step_metrics.csv',
      purpose: 'fine-tune-results',
      from: auditFromSystem('fine_tuning', row.project_id),
    });
    return id;
  } finally {
    await staged.discard();
  }
}

async function settle(
  { db, audit, models }: FinishDependencies,
  { row, lease, output }: FinishOptions,
  made: {
    result: TrainedResult;
    goldenPath: string;
    parity: Parity;
    resultFiles: readonly string[];
  },
): Promise<void> {
  const { result, goldenPath, parity, resultFiles } = made;
  const from = auditFromSystem('fine_tuning', row.project_id);
  await db.transaction().execute(async (tx) => {
    const locked = await jobStore.lock(tx, null, row.id);
    // Cancelled or taken over meanwhile: then this result is nobody's.
    if (locked?.lease_token !== lease.token) return;
    const moved = await moveJob(tx, audit, locked, {
      ...verdictOn(row, parity, resultFiles),
      from,
      evidence: {
        model: row.adapter_id,
        ...(result.kind === 'adapter'
          ? { adapter_sha256: result.gguf.sha256 }
          : { model_sha256: result.weights.sha256, serving_sha256: result.gguf.sha256 }),
        base_sha256: row.base_sha256,
        greedy_agreement: parity.greedy_agreement,
        mean_kl: parity.mean_kl,
        parity_passed: parity.passed,
      },
    });
    if (moved === null) return;
    await models.registerTrained(
      tx,
      {
        id: row.adapter_id,
        project: row.project_id,
        trainedOn: row.model,
        jobId: row.id,
        result,
        folder: output,
        goldenPath,
        parity,
      },
      from,
    );
  });
}

function verdictOn(
  { adapter_id: model }: JobRow,
  parity: Parity,
  resultFiles: readonly string[],
): Omit<Move, 'from'> {
  const change = { parity: JSON.stringify(parity), result_files: JSON.stringify(resultFiles) };
  if (parity.passed)
    return { to: 'succeeded', message: `The job has succeeded; the model is ${model}`, change };
  const params = { model, reason: parityReason(parity) };
  const { code, message, next } = new CorralError('parity_failed', { params });
  const error = JSON.stringify({ code, message: `${message} ${next}`, param: null });
  return { to: 'failed', level: 'error', message, change: { ...change, error } };
}

const parityReason = ({ first_difference, prompt_tokens_equal, mean_kl }: Parity): string =>
  !prompt_tokens_equal
    ? 'the engine reads the prompt as other tokens'
    : first_difference === null
      ? `the mean KL divergence is ${mean_kl.toFixed(4)}`
      : `transcript ${first_difference.transcript} differs at token ${first_difference.position} (${first_difference.likely_cause})`;
