// What is done with one job that is held by lease, state after state, until nothing is left to do here.
// Reads the row anew before each step: another may have cancelled, paused or taken it.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type { FastifyBaseLogger } from 'fastify';
import { auditFromSystem } from '../../audit/audit-log.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort } from '../models/index.ts';
import { dataProblem, type DataProblem } from './data-problem.ts';
import { jobStore, type JobRow, type Lease } from './fine-tuning-store.ts';
import { finishRun, type FinishDependencies } from './finish-run.ts';
import { addEvent, moveJob, type Move } from './job-moves.ts';
import { hasSucceeded, isFinal, isStopping, workFor } from './job-state.ts';
import { clearRunFolder, prepareRunFolder, type RunFolder } from './run-folder.ts';
import { createRunRecorder } from './run-recorder.ts';
import {
  TrainerDied,
  type Trainer,
  type TrainingEnd,
  type TrainingProcess,
} from './trainer-process.ts';

export interface RunDependencies extends FinishDependencies {
  readonly files: Pick<FilesService, 'stage' | 'create' | 'get' | 'path'>;
  readonly models: Pick<ModelsPort, 'registerTrained' | 'takeIn' | 'resolveBase'>;
  readonly trainer: Trainer;
  readonly log: Pick<FastifyBaseLogger, 'error' | 'info' | 'warn'>;
  /** CORRAL_HOME/runs. */
  readonly folder: string;
  /** Deaths in a row, without a new checkpoint, that a run survives. */
  readonly attempts: number;
}

export interface HeldRun {
  readonly lease: Lease;
  /** The server stops, or the lease is lost: leave the job to whoever comes next. */
  readonly leave: AbortSignal;
  /** What runs outside the trainer (data check, parity) is not wanted any more. */
  readonly abandon: AbortSignal;
  /** While the trainer runs. */
  process: TrainingProcess | null;
}

const retryPauseMilliseconds = 1000;

/** Throws only what nobody foresaw; the caller counts it as a death of the run. */
export async function runJob(deps: RunDependencies, run: HeldRun): Promise<void> {
  while (!run.leave.aborted) {
    const row = await heldRow(deps, run);
    if (row === null) return;
    const work = workFor(row.status);
    // It was paused and resumed before we looked: whoever takes it next begins with fresh signals.
    if (run.abandon.aborted && work !== 'none') return;
    switch (work) {
      case 'check':
        await checkData(deps, run, row);
        break;
      case 'train':
        await train(deps, run, row);
        break;
      case 'recover':
        await tryAgain(deps, run, 'its process is gone');
        break;
      case 'settle-pause':
        await move(deps, run, { to: 'paused', message: 'The job is paused' });
        break;
      case 'none':
        await clearFinishedRun(deps.folder, row);
        return;
      default:
        work satisfies never;
    }
  }
}

/** Removes what an ended run needs no more; of a cancelled one everything. */
export async function clearFinishedRun(folder: string, row: JobRow): Promise<void> {
  if (!isFinal(row.status)) return;
  await clearRunFolder(join(folder, row.id), {
    everything: isStopping(row.status),
    checkpoints: hasSucceeded(row.status),
  });
}

async function heldRow({ db }: RunDependencies, { lease }: HeldRun): Promise<JobRow | null> {
  const row = await jobStore.find(db, null, lease.job);
  return row?.lease_token === lease.token ? row : null;
}

/** Moves the job if the lease still holds and the state allows it. */
async function move(
  { db, audit }: RunDependencies,
  { lease }: HeldRun,
  options: Omit<Move, 'from'>,
): Promise<JobRow | null> {
  return db.transaction().execute(async (tx) => {
    const row = await jobStore.lock(tx, null, lease.job);
    if (row?.lease_token !== lease.token) return null;
    return moveJob(tx, audit, row, {
      ...options,
      from: auditFromSystem('fine_tuning', row.project_id),
    });
  });
}

async function prepare(deps: RunDependencies, row: JobRow): Promise<RunFolder> {
  const { db, files, models, folder } = deps;
  const base = await models.resolveBase(db, row.project_id, row.model);
  if (base.sha256 !== row.base_sha256)
    throw new CorralError('model_unsupported', {
      params: { path: row.model, reason: 'its weights changed after the job was created' },
    });
  const dataFile = async (id: string) => {
    const file = await files.get(row.project_id, id);
    return { path: files.path(file), filename: file.filename };
  };
  return prepareRunFolder(join(folder, row.id), {
    config: row.config,
    model: base.trainingPath,
    init: base.init,
    training: await dataFile(row.training_file),
    validation: row.validation_file === null ? null : await dataFile(row.validation_file),
  });
}

async function checkData(deps: RunDependencies, run: HeldRun, row: JobRow): Promise<void> {
  const { trainer } = deps;
  const signal = AbortSignal.any([run.leave, run.abandon]);
  try {
    const folder = await prepare(deps, row);
    const { method } = row.config;
    const report = await trainer.check({ config: folder.config, preview: 0, signal });
    const problem = dataProblem(report, method, 'training_file');
    if (problem !== null) return await refuseData(deps, run, problem);
    if (row.validation_file !== null) {
      const config = folder.validationConfig;
      const second = await trainer.check({ config, preview: 0, signal });
      const other = dataProblem(second, method, 'validation_file');
      if (other !== null) return await refuseData(deps, run, other);
    }
    const { rows, examples, tokens, format, container, too_long } = report;
    const kind = container === undefined ? format : `${format}, ${container}`;
    // A pair is two examples to the report.
    const count = method === 'dpo' ? `${examples / 2} pairs` : `${examples} examples`;
    await move(deps, run, {
      to: 'queued',
      message: `Files validated: ${count} (${kind}), ${tokens.total} tokens`,
      data: { rows, examples, tokens, format, container, too_long },
      evidence: { data_sha256: report.sha256, examples },
    });
  } catch (error) {
    if (signal.aborted) return;
    await failOrTryAgain(deps, run, error);
  }
}

/** What the table of errors foresees will not change; anything else (a lost connection) may pass. */
async function failOrTryAgain(deps: RunDependencies, run: HeldRun, error: unknown): Promise<void> {
  if (CorralError.isInstance(error)) return fail(deps, run, error);
  if (!(error instanceof TrainerDied))
    deps.log.warn({ err: error, job: run.lease.job }, 'A step of a run failed.');
  await tryAgain(deps, run, error instanceof Error ? error.message : String(error));
}

async function refuseData(
  deps: RunDependencies,
  run: HeldRun,
  { error, rows }: DataProblem,
): Promise<void> {
  await deps.db.transaction().execute(async (tx) => {
    for (const { row, reason, fix } of rows)
      await addEvent(tx, run.lease.job, {
        level: 'error',
        message: `${error.param ?? 'training_file'}, row ${row}: ${reason}. ${fix}`,
        data: { file: error.param, row, reason, fix },
      });
  });
  await fail(deps, run, error);
}

/** One start of the trainer, and what its end means. */
async function train(deps: RunDependencies, run: HeldRun, row: JobRow): Promise<void> {
  let folder: RunFolder;
  try {
    folder = await prepare(deps, row);
  } catch (error) {
    return failOrTryAgain(deps, run, error);
  }
  const started = await move(deps, run, {
    to: 'running',
    message: row.figures === null ? 'The job has started' : 'The job goes on',
    evidence: { base_sha256: row.base_sha256 },
  });
  if (started === null) return;
  if (started.trained_at === null) {
    const end = await trainInChild(deps, run, started, folder);
    if (end.kind !== 'finished') return settleEnd(deps, run, end);
  }
  await finish(deps, run, folder);
}

async function trainInChild(
  deps: RunDependencies,
  run: HeldRun,
  row: JobRow,
  folder: RunFolder,
): Promise<TrainingEnd> {
  const recorder = createRunRecorder({
    db: deps.db,
    lease: run.lease,
    figures: row.figures,
    onLost: () => run.process?.stop(0),
    onError: (error) => deps.log.warn({ err: error, job: row.id }, 'Figures were not written.'),
  });
  try {
    run.process = deps.trainer.train({
      config: folder.config,
      output: folder.output,
      log: folder.log,
      onEvent: recorder.record,
    });
    return await run.process.ended;
  } finally {
    run.process = null;
    await recorder.close();
  }
}

async function settleEnd(
  deps: RunDependencies,
  run: HeldRun,
  end: Exclude<TrainingEnd, { kind: 'finished' }>,
): Promise<void> {
  if (end.kind === 'failed') return fail(deps, run, end.error);
  const row = await heldRow(deps, run);
  // Cancelled, paused or taken: the loop sees to it.
  if (row === null || workFor(row.status) !== 'recover') return;
  if (run.leave.aborted) {
    await move(deps, run, {
      to: 'queued',
      message: 'The server stops; the job goes on from its checkpoint when it starts again',
    });
    return;
  }
  await tryAgain(deps, run, end.kind === 'died' ? end.reason : 'something else stopped it');
}

async function finish(deps: RunDependencies, run: HeldRun, folder: RunFolder): Promise<void> {
  const row = await heldRow(deps, run);
  if (row === null) return;
  const signal = AbortSignal.any([run.leave, run.abandon]);
  try {
    await finishRun(deps, { row, lease: run.lease, output: folder.output, signal });
  } catch (error) {
    if (run.leave.aborted) {
      await move(deps, run, { to: 'queued', message: 'The server stops; the job goes on later' });
      return;
    }
    if (run.abandon.aborted) return;
    if (isLasting(error)) return fail(deps, run, error);
    deps.log.warn({ err: error, job: row.id }, 'Finishing a run failed.');
    await tryAgain(deps, run, error instanceof Error ? error.message : String(error));
  }
}

/** What is wrong with the model or the request stays wrong; an engine that died may come back. */
const isLasting = (error: unknown): boolean =>
  CorralError.isInstance(error) && error.status < 500 && error.code !== 'cancelled';

/** Back to the queue, or failed when it has died too often without coming further. */
async function tryAgain(deps: RunDependencies, run: HeldRun, reason: string): Promise<void> {
  const row = await heldRow(deps, run);
  if (row === null) return;
  const attempts = row.attempts + 1;
  if (attempts >= deps.attempts) {
    const error = new CorralError('training_failed', {
      params: { reason: `${reason} (attempt ${attempts})`, job: row.id },
    });
    return fail(deps, run, error);
  }
  deps.log.warn({ job: row.id, attempts }, 'A run is started again.');
  await deps.db.transaction().execute(async (tx) => {
    const locked = await jobStore.lock(tx, null, row.id);
    if (locked?.lease_token !== run.lease.token) return;
    const change = { attempts };
    if (workFor(locked.status) !== 'recover') {
      // Before the training there is no state to go back to: the step is counted and done again.
      await jobStore.update(tx, row.id, change);
      return;
    }
    await moveJob(tx, deps.audit, locked, {
      to: 'queued',
      level: 'warn',
      message: `The run stopped (${reason}); it goes on from its last checkpoint`,
      change,
      from: auditFromSystem('fine_tuning', row.project_id),
      evidence: { attempts },
    });
  });
  await sleep(retryPauseMilliseconds, undefined, { signal: run.leave }).catch(() => undefined);
}

async function fail(deps: RunDependencies, run: HeldRun, thrown: unknown): Promise<void> {
  if (!CorralError.isInstance(thrown)) {
    deps.log.error({ err: thrown, job: run.lease.job }, 'A run failed.');
  }
  const error = CorralError.isInstance(thrown)
    ? thrown
    : new CorralError('training_failed', {
        params: {
          reason: thrown instanceof Error ? thrown.message : String(thrown),
          job: run.lease.job,
        },
        cause: thrown,
      });
  await move(deps, run, {
    to: 'failed',
    level: 'error',
    message: error.message,
    data: { code: error.code, param: error.param, next: error.next },
    change: {
      error: JSON.stringify({
        code: error.code,
        message: `${error.message} ${error.next}`,
        param: error.param,
      }),
    },
    evidence: { code: error.code },
  });
}
