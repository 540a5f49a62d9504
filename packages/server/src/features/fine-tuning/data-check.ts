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

export type DataCheck = (
  project: string,
  request: z.output<typeof dataCheckSchema>,
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
  return async (project, request, signal) => {
    const base = await models.resolveBase(db, project, request.model);
    const file = await files.get(project, request.file_id);
    requireDataEnding(file.filename, 'file_id');
    const { config } = mapRunConfig(
      request.context_length === undefined
        ? {}
        : { corral: { config: { data: { context_length: request.context_length } } } },
      base.defaults,
    );
    const place = await mkdtemp(join(folder, 'check-'));
    try {
      const { config: path } = await prepareRunFolder(place, {
        config,
        model: base.trainingPath,
        training: { path: files.path(file), filename: file.filename },
        validation: null,
      });
      const { preview } = request;
      const report = await trainer.check({ config: path, preview, signal }).catch(foreseen);
      // The path is the server's; the caller knows the file by its id.
      return { ...report, path: file.filename };
    } finally {
      await rm(place, { recursive: true, force: true });
    }
  };
}

function foreseen(error: unknown): never {
  if (!(error instanceof TrainerDied)) throw error;
  throw new CorralError('training_failed', {
    params: { reason: error.message, job: '(none)' },
    cause: error,
  });
}
