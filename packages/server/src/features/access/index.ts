// Access feature: projects, API keys, authentication.
import type { Feature } from '../../http/feature.ts';
import { accessRoutes } from './access-routes.ts';
import { createAccessService, type AccessService } from './access-service.ts';

export { accessMigrations } from './access-tables.ts';
export type { AccessService } from './access-service.ts';

export function createAccessFeature(
  deps: Parameters<typeof createAccessService>[0],
): Feature & { readonly service: AccessService } {
  const service = createAccessService(deps);
  return { service, routes: accessRoutes(service), close: () => service.close() };
}
