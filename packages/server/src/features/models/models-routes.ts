// /v1/models (OpenAI's shape) and /api/v1/models (all that is known): HTTP in and out of the services.
import {
  CorralError,
  importModelSchema,
  listSchema,
  modelDetailSchema,
  modelObjectSchema,
  operationSchema,
  pullModelSchema,
} from '@corral/contracts';
import type { ModelDetail } from '@corral/contracts';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { unixSeconds } from '../../http/time.ts';
import { catalogue, memoryFacts } from './catalogue.ts';
import type { RecipeCard } from './catalogue.ts';
import type { ImportService } from './import-service.ts';
import type { ModelRow, ServedName } from './models-store.ts';
import type { ModelsService } from './models-service.ts';
import { servingNote } from './serving-format.ts';
import { isTrained } from './trained-models.ts';

const byId = z.object({ id: z.string().min(1).max(256) });
const anyReader = { scope: ['read', 'inference', 'training'] as const };

const toObject = (row: ModelRow) => ({
  id: row.id,
  object: 'model' as const,
  created: unixSeconds(row.created_at),
  owned_by: row.owned_by,
});

/** A base answers under its own id as soon as it can be served; what a job made when it is deployed. */
const isServed = (row: ModelRow, names: readonly ServedName[]): boolean =>
  isTrained(row) ? names.some(({ name }) => name === row.id) : row.serving_path !== null;

/** All names that a request may put in `model`: models that are served, and aliases. */
function servedObjects(rows: readonly ModelRow[], names: readonly ServedName[]) {
  const served = rows.filter((row) => isServed(row, names)).map(toObject);
  const aliases = names.flatMap(({ name, model, created_at }) => {
    const row = rows.find(({ id }) => id === model);
    if (!row || name === model) return [];
    return { ...toObject(row), id: name, created: unixSeconds(created_at) };
  });
  return [...served, ...aliases];
}

const toDetail = (row: ModelRow, names: readonly ServedName[]): ModelDetail => ({
  ...toObject(row),
  kind: row.kind,
  base: row.base,
  license: row.license,
  source: row.source,
  parameters: row.parameters,
  context_length: row.context_length,
  format: row.format,
  serving_format: row.serving_format ?? 'none',
  servable: row.serving_path !== null,
  note: servingNote(row),
  bytes: row.bytes,
  sha256: row.sha256,
  deployed: isServed(row, names),
  job_id: row.job_id,
  derived_from: row.derived_from,
  parity: row.parity,
});

/** What can be pulled by name, and what to expect of it. */
const toCard = (card: RecipeCard) => ({
  id: card.id,
  title: card.title,
  publisher: card.publisher,
  parameters: card.parameters,
  context_length: card.contextLength,
  license: {
    id: card.license.id,
    url: card.license.url,
    needs_acceptance: card.license.needsAcceptance,
  },
  template: card.template,
  sources: card.sources.map(({ kind }) => kind),
  memory: memoryFacts(card),
  defaults: card.defaults,
  note: card.note ?? null,
});

const list = <T extends { readonly id: string }>(data: T[]) => ({
  object: 'list' as const,
  data,
  has_more: false,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
});

type RouteHost = Parameters<FeatureRoutes>[0];

function readRoutes(app: RouteHost, models: ModelsService): void {
  app.get(
    '/v1/models',
    { config: anyReader, schema: { response: { 200: listSchema(modelObjectSchema) } } },
    async (request) => {
      const { rows, names } = await models.list(contextOf(request).projectId);
      return list(servedObjects(rows, names));
    },
  );
  app.get(
    '/v1/models/:id',
    { config: anyReader, schema: { params: byId, response: { 200: modelObjectSchema } } },
    async (request) => {
      const { rows, names } = await models.list(contextOf(request).projectId);
      const { id } = request.params;
      const found = servedObjects(rows, names).find((object) => object.id === id);
      if (!found) throw new CorralError('model_not_found', { params: { model: id } });
      return found;
    },
  );
  app.get(
    '/api/v1/models',
    { config: anyReader, schema: { response: { 200: listSchema(modelDetailSchema) } } },
    async (request) => {
      const { rows, names } = await models.list(contextOf(request).projectId);
      return list(rows.map((row) => toDetail(row, names)));
    },
  );
  app.get('/api/v1/catalogue', { config: anyReader }, () =>
    Promise.resolve({ object: 'list', data: [...catalogue.values()].map(toCard) }),
  );
  app.get(
    '/api/v1/models/:id',
    { config: anyReader, schema: { params: byId, response: { 200: modelDetailSchema } } },
    async (request) => {
      const { rows, names } = await models.list(contextOf(request).projectId);
      const { id } = request.params;
      const row = rows.find((model) => model.id === id);
      if (!row) throw new CorralError('model_not_found', { params: { model: id } });
      return toDetail(row, names);
    },
  );
}

function changeRoutes(app: RouteHost, models: ModelsService, imports: ImportService): void {
  for (const path of ['/v1/models/:id', '/api/v1/models/:id']) {
    app.delete(path, { schema: { params: byId } }, async (request) => {
      await models.remove(contextOf(request), request.params.id);
      return { id: request.params.id, object: 'model', deleted: true };
    });
  }
  app.post(
    '/api/v1/models/pull',
    {
      config: { scope: 'admin' },
      schema: { body: pullModelSchema, response: { 202: operationSchema } },
    },
    async (request, reply) => {
      const { ref, accept_license: acceptLicense, serving_form: servingForm } = request.body;
      const wanted = { ref, acceptLicense, servingForm };
      return reply.status(202).send(await imports.pull(contextOf(request), wanted));
    },
  );
  app.post(
    '/api/v1/models/import',
    {
      config: { scope: 'admin' },
      schema: { body: importModelSchema, response: { 202: operationSchema } },
    },
    async (request, reply) => {
      const { serving_form: servingForm, ...wanted } = request.body;
      const operation = await imports.import(contextOf(request), { ...wanted, servingForm });
      return reply.status(202).send(operation);
    },
  );
}

export const modelsRoutes =
  (models: ModelsService, imports: ImportService): FeatureRoutes =>
  async (app) => {
    readRoutes(app, models);
    changeRoutes(app, models, imports);
  };
