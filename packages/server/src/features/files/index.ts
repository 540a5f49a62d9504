// Files feature: what is uploaded for training and what runs leave behind.
import type { Feature } from '../../http/feature.ts';
import type { Idempotency } from '../../idempotency/idempotency.ts';
import { filesRoutes } from './files-routes.ts';
import { createFilesService, type FilesService } from './files-service.ts';

export { filesMigrations } from './files-tables.ts';
export type { FilesService } from './files-service.ts';

export function createFilesFeature(
  deps: Parameters<typeof createFilesService>[0] & { idempotency: Idempotency },
): Feature & { readonly service: FilesService } {
  const service = createFilesService(deps);
  return { service, routes: filesRoutes(service, deps.idempotency) };
}
