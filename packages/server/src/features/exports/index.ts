// Exports feature: models of this server as files that others load.
import { mkdir } from 'node:fs/promises';
import { exportModelSchema, operationSchema } from '@corral/contracts';
import { z } from 'zod';
import type { HomePaths } from '../../home.ts';
import type { Feature } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { createTrainer, defaultTrainerEntry } from '../fine-tuning/index.ts';
import { createExportService, type ExportDependencies } from './export-service.ts';

export function createExportsFeature({
  home,
  trainerEntry = defaultTrainerEntry(),
  ...deps
}: Omit<ExportDependencies, 'trainer' | 'folder'> & {
  readonly home: HomePaths;
  /** The trainer's worker; tests give another. */
  readonly trainerEntry?: string | undefined;
}): Feature {
  const service = createExportService({
    ...deps,
    trainer: createTrainer({ entry: trainerEntry }),
    folder: home.runs,
  });
  return {
    start: async () => {
      await mkdir(home.runs, { recursive: true, mode: 0o700 });
    },
    routes: async (app) => {
      app.post(
        '/api/v1/models/:id/export',
        {
          config: { scope: 'admin' },
          schema: {
            params: z.object({ id: z.string().min(1).max(256) }),
            body: exportModelSchema,
            response: { 202: operationSchema },
          },
        },
        async (request, reply) =>
          reply
            .status(202)
            .send(await service.export(contextOf(request), request.params.id, request.body)),
      );
    },
  };
}
