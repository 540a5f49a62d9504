// Fine-tuning feature: OpenAI's jobs, run by trainer children of this server.
import { mkdir } from 'node:fs/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { ArtifactStore } from '../../artifacts/artifact-store.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Config } from '../../config.ts';
import type { Db } from '../../db/database.ts';
import type { HomePaths } from '../../home.ts';
import type { Feature } from '../../http/feature.ts';
import type { Idempotency } from '../../idempotency/idempotency.ts';
import type { JobQueue } from '../../jobs/queue.ts';
import type { AccessService } from '../access/index.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort, ParityPort } from '../models/index.ts';
import { createDataCheck } from './data-check.ts';
import { fineTuningRoutes } from './fine-tuning-routes.ts';
import { createFineTuningService } from './fine-tuning-service.ts';
import { jobStore } from './fine-tuning-store.ts';
import { createTrainer, defaultTrainerEntry } from './trainer-process.ts';
import { createTrainingRunner, trainingQueue } from './training-runner.ts';

export { fineTuningMigrations } from './fine-tuning-tables.ts';
export { createTrainer, defaultTrainerEntry, type Trainer } from './trainer-process.ts';

export interface FineTuningFeatureDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly artifacts: ArtifactStore;
  readonly queue: JobQueue;
  readonly idempotency: Idempotency;
  readonly log: FastifyBaseLogger;
  readonly home: HomePaths;
  readonly config: Config;
  readonly access: Pick<AccessService, 'projectName'>;
  readonly files: FilesService;
  readonly models: ModelsPort;
  readonly parity: ParityPort;
  /** The trainer's worker; tests give another. */
  readonly trainerEntry?: string | undefined;
}

export function createFineTuningFeature(deps: FineTuningFeatureDependencies): Feature & {
  /** Runs that wait and run, of one project or (null) of all, for the status page. */
  readonly counts: (project: string | null) => Promise<{ queued: number; running: number }>;
} {
  const { files, home, config, queue, idempotency, trainerEntry = defaultTrainerEntry() } = deps;
  const trainer = createTrainer({ entry: trainerEntry });
  const runner = createTrainingRunner({
    ...deps,
    trainer,
    folder: home.runs,
    home: home.root,
    attempts: config.training.attempts,
    leaseSeconds: config.training.lease_seconds,
  });
  queue.define({
    name: trainingQueue,
    concurrency: config.training.concurrency,
    handle: ({ job = '' }, signal) => runner.drive(job, signal),
  });
  files.addGuard(async (tx, file) => {
    const job = await jobStore.findUser(tx, file);
    return job === null
      ? null
      : `The file "${file}" is used by the fine-tuning job "${job}"; cancel it or wait for its end.`;
  });
  deps.models.addGuard(async (tx, model) => {
    const job = await jobStore.findTrainee(tx, model);
    return job === null
      ? null
      : `The fine-tuning job "${job}" trains on "${model}"; cancel it or wait for its end.`;
  });
  const service = createFineTuningService({ ...deps, runner });
  return {
    counts: (project) => service.counts(project),
    routes: fineTuningRoutes({
      service,
      idempotency,
      check: createDataCheck({ ...deps, trainer, folder: home.runs }),
    }),
    async start() {
      await mkdir(home.runs, { recursive: true, mode: 0o700 });
      await runner.start();
    },
    close: () => runner.close(),
  };
}
