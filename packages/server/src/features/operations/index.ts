// Operations feature: long work behind GET /api/v1/operations/{id}.
import { operationSchema } from '@corral/contracts';
import { z } from 'zod';
import type { Feature } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { createOperationService } from './operation-service.ts';
import type { OperationService } from './operation-service.ts';

export { operationsMigrations } from './operations-tables.ts';
export type { OperationReport, OperationService } from './operation-service.ts';

export function createOperationsFeature(
  deps: Parameters<typeof createOperationService>[0],
): Feature & { readonly service: OperationService } {
  const service = createOperationService(deps);
  return {
    service,
    start: () => service.recover(),
    close: () => service.close(),
    routes: async (app) => {
      app.get(
        '/api/v1/operations/:id',
        {
          config: { scope: ['read', 'training', 'inference'] },
          schema: {
            params: z.object({ id: z.string().max(64) }),
            response: { 200: operationSchema },
          },
        },
        (request) => service.get(contextOf(request), request.params.id),
      );
    },
  };
}
