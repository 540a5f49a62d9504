// /api/v1/keys and /api/v1/projects: HTTP in and out of the access service.
import { createKeySchema, keySchema, listSchema, type ApiKey } from '@corral/contracts';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { unixSeconds } from '../../http/time.ts';
import type { AccessService } from './access-service.ts';
import type { ApiKeyRow, ProjectRow } from './access-store.ts';

const projectSchema = z.object({ id: z.string(), name: z.string(), created_at: z.int() });
const createProjectSchema = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'a lower-case word of at most 32 letters'),
});

const toKey = (row: ApiKeyRow): ApiKey => ({
  id: row.id,
  name: row.name,
  hint: row.hint,
  project: row.project_id,
  scopes: row.scopes,
  created_at: unixSeconds(row.created_at),
  expires_at: unixSeconds(row.expires_at),
  revoked_at: unixSeconds(row.revoked_at),
  last_used_at: unixSeconds(row.last_used_at),
});
const toProject = ({ id, name, created_at }: ProjectRow) => ({
  id,
  name,
  created_at: unixSeconds(created_at),
});
const list = <T>(data: readonly T[]) => ({
  object: 'list' as const,
  data: [...data],
  has_more: false,
});

export const accessRoutes =
  (access: AccessService): FeatureRoutes =>
  async (app) => {
    app.post(
      '/api/v1/keys',
      {
        config: { scope: 'admin' },
        schema: {
          body: createKeySchema,
          response: { 201: keySchema.extend({ key: z.string() }) },
        },
      },
      async (request, reply) => {
        const { name, scopes, project, expires_in_seconds: seconds } = request.body;
        const { row, secret } = await access.createKey(contextOf(request), {
          name,
          scopes,
          ...(project === undefined ? {} : { project }),
          expiresAt: seconds === null ? null : new Date(Date.now() + seconds * 1000),
        });
        return reply.status(201).send({ ...toKey(row), key: secret });
      },
    );
    app.get(
      '/api/v1/keys',
      { config: { scope: 'admin' }, schema: { response: { 200: listSchema(keySchema) } } },
      async (request) => list((await access.listKeys(contextOf(request))).map(toKey)),
    );
    app.delete(
      '/api/v1/keys/:id',
      {
        config: { scope: 'admin' },
        schema: { params: z.object({ id: z.string() }), response: { 200: keySchema } },
      },
      async (request) => toKey(await access.revokeKey(contextOf(request), request.params.id)),
    );
    app.post(
      '/api/v1/projects',
      {
        config: { scope: 'admin' },
        schema: { body: createProjectSchema, response: { 201: projectSchema } },
      },
      async (request, reply) =>
        reply
          .status(201)
          .send(toProject(await access.createProject(contextOf(request), request.body.name))),
    );
    app.get(
      '/api/v1/projects',
      { config: { scope: 'admin' }, schema: { response: { 200: listSchema(projectSchema) } } },
      async (request) => list((await access.listProjects(contextOf(request))).map(toProject)),
    );
  };
