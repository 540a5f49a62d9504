// /v1/fine_tuning/jobs, as OpenAI has it, with pause and resume; and /api/v1/data/check.
import {
  createFineTuningJobSchema,
  dataCheckSchema,
  fineTuningCheckpointSchema,
  fineTuningEventSchema,
  fineTuningJobSchema,
  listSchema,
  type FineTuningEvent,
  type FineTuningJob,
} from '@corral/contracts';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { toListPage } from '../../http/list-page.ts';
import { contextOf } from '../../http/request-context.ts';
import { unixSeconds } from '../../http/time.ts';
import type { Idempotency } from '../../idempotency/idempotency.ts';
import type { DataCheck } from './data-check.ts';
import type { CheckpointRow, EventRow, JobRow } from './fine-tuning-store.ts';
import type { FineTuningService } from './fine-tuning-service.ts';
import { methodObject } from './job-method.ts';
import { hasSucceeded } from './job-state.ts';

const read = { scope: ['read', 'training'] } as const;
const jobIdSchema = z.object({ id: z.string().max(128) });
const pageSchema = z.object({
  after: z.string().max(256).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(20),
});
/** Also `metadata[key]=value`, read apart. */
const jobPageSchema = z.looseObject(pageSchema.shape);

function toJob(row: JobRow): FineTuningJob {
  return {
    id: row.id,
    object: 'fine_tuning.job',
    created_at: unixSeconds(row.created_at),
    finished_at: unixSeconds(row.finished_at),
    estimated_finish: unixSeconds(row.estimated_finish),
    model: row.model,
    fine_tuned_model: hasSucceeded(row.status) ? row.adapter_id : null,
    status: row.status,
    error: row.error,
    training_file: row.training_file,
    validation_file: row.validation_file,
    result_files: row.result_files,
    trained_tokens: row.trained_tokens,
    seed: row.seed,
    organization_id: row.project_id,
    hyperparameters: { ...row.hyperparameters },
    method: methodObject(row.config.method, row.hyperparameters),
    integrations: [],
    metadata: row.metadata,
    suffix: row.suffix,
    corral: {
      figures: row.figures,
      parity: row.parity,
      config: row.config,
      attempts: row.attempts,
    },
  };
}

const toEvent = (row: EventRow): FineTuningEvent => ({
  id: row.id,
  object: 'fine_tuning.job.event',
  created_at: unixSeconds(row.created_at),
  level: row.level,
  message: row.message,
  type: row.type,
  data: row.data,
});

const toCheckpoint = (row: CheckpointRow & { adapter_id: string }) => ({
  id: row.id,
  object: 'fine_tuning.job.checkpoint' as const,
  created_at: unixSeconds(row.created_at),
  fine_tuning_job_id: row.job_id,
  fine_tuned_model_checkpoint: `${row.adapter_id}:ckpt-step-${row.step}`,
  step_number: row.step,
  metrics: row.metrics,
});

/** `metadata[k]=v` of a query string; null when there is none. */
function metadataFilter(query: Readonly<Record<string, unknown>>): Record<string, string> | null {
  const found = Object.entries(query).flatMap(([name, value]) => {
    const key = /^metadata\[(.{1,64})\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, String(value)] as const];
  });
  return found.length === 0 ? null : Object.fromEntries(found);
}

/** What happened to a job: events and checkpoints, newest first. */
const historyRoutes =
  (service: FineTuningService): FeatureRoutes =>
  async (app) => {
    app.get(
      '/v1/fine_tuning/jobs/:id/events',
      {
        config: read,
        schema: {
          params: jobIdSchema,
          querystring: pageSchema,
          response: { 200: listSchema(fineTuningEventSchema) },
        },
      },
      async (request) => {
        const { after, limit } = request.query;
        const rows = await service.events(contextOf(request).projectId, request.params.id, {
          after,
          limit: limit + 1,
        });
        return toListPage(rows.map(toEvent), limit);
      },
    );
    app.get(
      '/v1/fine_tuning/jobs/:id/checkpoints',
      {
        config: read,
        schema: {
          params: jobIdSchema,
          querystring: pageSchema,
          response: { 200: listSchema(fineTuningCheckpointSchema) },
        },
      },
      async (request) => {
        const { after, limit } = request.query;
        const rows = await service.checkpoints(contextOf(request).projectId, request.params.id, {
          after,
          limit: limit + 1,
        });
        return toListPage(rows.map(toCheckpoint), limit);
      },
    );
  };

export const fineTuningRoutes =
  (deps: {
    service: FineTuningService;
    idempotency: Idempotency;
    check: DataCheck;
  }): FeatureRoutes =>
  async (app) => {
    const { service, idempotency, check } = deps;
    const write = { scope: 'training' } as const;
    const jobAnswer = { 200: fineTuningJobSchema };

    app.post(
      '/v1/fine_tuning/jobs',
      { config: write, schema: { body: createFineTuningJobSchema, response: jobAnswer } },
      (request) => {
        const context = contextOf(request);
        return idempotency.once(request, {
          fingerprint: request.body,
          load: async (id) => toJob(await service.get(context.projectId, id)),
          create: async (record) => toJob(await service.create(context, request.body, record)),
        });
      },
    );
    app.get(
      '/v1/fine_tuning/jobs',
      {
        config: read,
        schema: { querystring: jobPageSchema, response: { 200: listSchema(fineTuningJobSchema) } },
      },
      async (request) => {
        const { after, limit } = request.query;
        const rows = await service.list(contextOf(request).projectId, {
          after,
          limit: limit + 1,
          metadata: metadataFilter(request.query),
        });
        return toListPage(rows.map(toJob), limit);
      },
    );
    app.get(
      '/v1/fine_tuning/jobs/:id',
      { config: read, schema: { params: jobIdSchema, response: jobAnswer } },
      async (request) => toJob(await service.get(contextOf(request).projectId, request.params.id)),
    );
    for (const action of ['cancel', 'pause', 'resume'] as const)
      app.post(
        `/v1/fine_tuning/jobs/:id/${action}`,
        { config: write, schema: { params: jobIdSchema, response: jobAnswer } },
        async (request) => toJob(await service[action](contextOf(request), request.params.id)),
      );
    await app.register(historyRoutes(service));
    app.post(
      '/api/v1/data/check',
      { config: write, schema: { body: dataCheckSchema } },
      (request, reply) => check(contextOf(request).projectId, request.body, abortedWhenGone(reply)),
    );
  };

/** Aborts when the client goes away before it has its answer. */
function abortedWhenGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) gone.abort();
  });
  return gone.signal;
}
