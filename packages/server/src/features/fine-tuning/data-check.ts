// POST /api/v1/data/check: what a run would see in a file, before there is a run.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError, type DataReport, type dataCheckSchema } from '@corral/contracts';
import type { z } from 'zod';
import type { Db } from '../../db/database.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort } from '../models/index.ts';
import { mapRunConfig } from './run-config-mapping.ts';
import { prepareRunFolder, requireDataEnding } from './run-folder.ts';
import { TrainerDied, type Trainer } from './trainer-process.ts';

/** Each check is a process that holds the data's tokens in memory, beside the runs and the engines. */
const maxChecks = 2;
/** Checks of usual files take a few seconds. */
const retryAfterSeconds = 5;

export type DataCheck = (
  project: string,
  request: CheckRequest,
  signal: AbortSignal,
) => Promise<DataReport>;

export function createDataCheck(deps: {
  db: Db;
  files: Pick<FilesService, 'get' | 'path'>;
  models: Pick<ModelsPort, 'resolveBase'>;
  trainer: Pick<Trainer, 'check'>;
  /** An existing folder for the configuration of a check. */
  folder: string;
}): DataCheck {
  const { db, files, models, trainer, folder } = deps;
  let running = 0;
  return async (project, request, signal) => {
    const base = await models.resolveBase(db, project, request.model);
    const file = await files.get(project, request.file_id);
    requireDataEnding(file.filename, 'file_id');
    const { config } = mapRunConfig({ corral: { config: overridesOf(request) } }, base.defaults);
    if (running >= maxChecks) {
      throw new CorralError('rate_limit_exceeded', {
        params: { reason: `${running} data checks are running, which is the limit.` },
        details: { retry_after_seconds: retryAfterSeconds },
      });
    }
    running++;
    let place: string | null = null;
    try {
      place = await mkdtemp(join(folder, 'check-'));
      const { config: path } = await prepareRunFolder(place, {
        config,
        model: base.trainingPath,
        init: null,
        training: { path: files.path(file), filename: file.filename },
        validation: null,
      });
      const { preview } = request;
      const report = await trainer.check({ config: path, preview, signal }).catch(foreseen);
      // The path is the server's; the caller knows the file by its id.
      return { ...report, path: file.filename };
    } finally {
      running--;
      if (place !== null) await rm(place, { recursive: true, force: true });
    }
  };
}

type CheckRequest = z.output<typeof dataCheckSchema>;

/** What of a run's configuration decides how rows are judged. */
const overridesOf = ({ context_length, truncate }: CheckRequest) => ({
  data: {
    ...(context_length !== undefined && { context_length }),
    ...(truncate !== undefined && { truncate }),
  },
});

function foreseen(error: unknown): never {
  if (!(error instanceof TrainerDied)) throw error;
  throw new CorralError('training_failed', {
    params: { reason: error.message, job: '(none)' },
    cause: error,
  });
}
