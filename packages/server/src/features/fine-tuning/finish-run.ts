// From a trained adapter to a model: store it, prove it, publish its figures, register it. Each step may be
// repeated after a crash.
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CorralError, type Parity } from '@corral/contracts';
import type { ArtifactStore, StoredArtifact } from '../../artifacts/artifact-store.ts';
import { auditFromSystem, type AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort, ParityPort } from '../models/index.ts';
import { eventStore, jobStore, type JobRow, type Lease } from './fine-tuning-store.ts';
import { moveJob, type Move } from './job-moves.ts';
import { metricsCsv } from './metrics-csv.ts';

export interface FinishDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly artifacts: Pick<ArtifactStore, 'put'>;
  readonly files: Pick<FilesService, 'stage' | 'create'>;
  readonly models: Pick<ModelsPort, 'registerAdapter'>;
  readonly parity: ParityPort;
}

export interface FinishOptions {
  readonly row: JobRow;
  readonly lease: Lease;
  readonly output: string;
  readonly signal: AbortSignal;
}

/** Ends the job as succeeded, or as failed when the adapter does not answer as it was trained. */
export async function finishRun(deps: FinishDependencies, options: FinishOptions): Promise<void> {
  const { row, output, signal } = options;
  const gguf = await storeAdapter(deps, output);
  const goldenPath = join(output, 'golden.json');
  const parity = await deps.parity.check({
    project: row.project_id,
    base: row.model,
    adapter: { id: row.adapter_id, ggufPath: gguf.path },
    goldenPath,
    signal,
  });
  const resultFiles =
    row.result_files.length > 0 ? row.result_files : [await publishMetrics(deps, row)];
  await settle(deps, options, { gguf, goldenPath, parity, resultFiles });
}

async function storeAdapter(
  { artifacts }: FinishDependencies,
  output: string,
): Promise<StoredArtifact> {
  for (const name of ['adapter.gguf', 'golden.json'])
    if (!existsSync(join(output, name)))
      throw new CorralError('training_failed', {
        params: { reason: `the trainer left no ${name}`, job: '' },
      });
  return artifacts.put(createReadStream(join(output, 'adapter.gguf')));
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
    gguf: StoredArtifact;
    goldenPath: string;
    parity: Parity;
    resultFiles: readonly string[];
  },
): Promise<void> {
  const { gguf, goldenPath, parity, resultFiles } = made;
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
        adapter_sha256: gguf.sha256,
        base_sha256: row.base_sha256,
        greedy_agreement: parity.greedy_agreement,
        mean_kl: parity.mean_kl,
        parity_passed: parity.passed,
      },
    });
    if (moved === null) return;
    await models.registerAdapter(
      tx,
      {
        id: row.adapter_id,
        project: row.project_id,
        base: row.model,
        jobId: row.id,
        gguf,
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
