// Parity feature: does the serving engine answer as the trainer did?
import { operationSchema } from '@corral/contracts';
import { z } from 'zod';
import type { Feature } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { createParityService } from './parity-service.ts';
import type { ParityService } from './parity-service.ts';

export function createParityFeature(
  deps: Parameters<typeof createParityService>[0],
): Feature & { readonly service: ParityService } {
  const service = createParityService(deps);
  return {
    service,
    routes: async (app) => {
      app.post(
        '/api/v1/models/:id/parity',
        {
          config: { scope: 'training' },
          schema: {
            params: z.object({ id: z.string().min(1).max(256) }),
            response: { 202: operationSchema },
          },
        },
        async (request, reply) =>
          reply.status(202).send(await service.recheck(contextOf(request), request.params.id)),
      );
    },
  };
}
