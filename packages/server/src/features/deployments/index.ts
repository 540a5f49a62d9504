// Deployments feature: /api/v1/deployments, the question which model a name stands for, and which bases
// therefore stay in memory.
import { deploymentSchema, deploySchema, listSchema } from '@corral/contracts';
import type { Deployment } from '@corral/contracts';
import { z } from 'zod';
import type { Feature } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { unixSeconds } from '../../http/time.ts';
import { createDeploymentsService } from './deployments-service.ts';
import type { DeploymentsService } from './deployments-service.ts';
import type { DeploymentRow } from './deployments-store.ts';
import { createPinnedBases } from './pinned-bases.ts';
import type { PinnedBasesDependencies } from './pinned-bases.ts';

export { deploymentsMigrations } from './deployments-tables.ts';
export type { DeploymentsService, ServedModel } from './deployments-service.ts';

const byName = z.object({ name: z.string().min(1).max(256) });

const toDeployment = ({ row, base }: { row: DeploymentRow; base: string }): Deployment => ({
  id: row.id,
  name: row.name,
  model: row.model,
  base,
  created_at: unixSeconds(row.created_at),
  previous_model: row.previous_model,
  pinned: row.pinned,
});

export function createDeploymentsFeature(
  deps: Parameters<typeof createDeploymentsService>[0] & PinnedBasesDependencies,
): Feature & { readonly service: DeploymentsService } {
  const service = createDeploymentsService(deps);
  const pins = createPinnedBases(deps);
  /** What a change of names answers with, once the memory knows of it. */
  const changed = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change;
    await pins.refresh();
    return result;
  };
  return {
    service,
    start: () => pins.refresh(),
    routes: async (app) => {
      app.get(
        '/api/v1/deployments',
        { schema: { response: { 200: listSchema(deploymentSchema) } } },
        async (request) => {
          const known = await service.list(contextOf(request).projectId);
          const data = known.map((deployment) => toDeployment(deployment));
          return { object: 'list' as const, data, has_more: false };
        },
      );
      app.post(
        '/api/v1/deployments',
        { schema: { body: deploySchema, response: { 201: deploymentSchema } } },
        async (request, reply) =>
          reply
            .status(201)
            .send(toDeployment(await changed(service.deploy(contextOf(request), request.body)))),
      );
      app.post(
        '/api/v1/deployments/:name/rollback',
        { schema: { params: byName, response: { 200: deploymentSchema } } },
        async (request) =>
          toDeployment(await changed(service.rollback(contextOf(request), request.params.name))),
      );
      app.delete('/api/v1/deployments/:name', { schema: { params: byName } }, async (request) => {
        const { name } = request.params;
        await changed(service.remove(contextOf(request), name));
        return { name, object: 'deployment', deleted: true };
      });
    },
  };
}
