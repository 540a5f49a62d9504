// /api/v1/evidence: what an auditor reads. The head is everybody's; entries are those of one's own project;
// the whole log is for admins of the operator's project.
import {
  CorralError,
  evidenceBundleSchema,
  evidenceEntrySchema,
  evidenceHeadSchema,
  evidenceProofSchema,
} from '@corral/contracts';
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';
import type { EvidenceExport, EvidenceService } from './evidence-service.ts';

const indexSchema = z.object({
  index: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
const pageSchema = z.object({
  /** Index of the last entry already seen. */
  after: z.coerce.number().int().min(-1).default(-1),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
const entryListSchema = z.object({
  object: z.literal('list'),
  data: z.array(evidenceEntrySchema),
  has_more: z.boolean(),
});

const seesAll = ({ operator, scopes }: RequestContext): boolean => operator && scopes.has('admin');
const reachOf = (context: RequestContext): string | null =>
  seesAll(context) ? null : context.projectId;

/** An `EvidenceBundle` in pieces: a log may be larger than memory. */
async function* jsonOf({ leaves, ...rest }: EvidenceExport): AsyncGenerator<string> {
  yield `${JSON.stringify(rest).slice(0, -1)},"leaves":[`;
  let separator = '';
  for await (const page of leaves) {
    yield separator + page.map((leaf) => JSON.stringify(leaf)).join(',');
    separator = ',';
  }
  yield ']}';
}

export const evidenceRoutes =
  (evidence: EvidenceService): FeatureRoutes =>
  async (app) => {
    app.get(
      '/api/v1/evidence/head',
      { config: { scope: 'read' }, schema: { response: { 200: evidenceHeadSchema } } },
      () => evidence.head(),
    );
    app.get(
      '/api/v1/evidence/entries',
      {
        config: { scope: 'read' },
        schema: { querystring: pageSchema, response: { 200: entryListSchema } },
      },
      async (request) => {
        const { after, limit } = request.query;
        const rows = await evidence.list({
          project: reachOf(contextOf(request)),
          from: after + 1,
          limit: limit + 1,
        });
        return {
          object: 'list' as const,
          data: rows.slice(0, limit).map(({ index, leaf }) => ({
            index,
            leaf,
            event: JSON.parse(leaf) as Record<string, unknown>,
          })),
          has_more: rows.length > limit,
        };
      },
    );
    app.get(
      '/api/v1/evidence/entries/:index/proof',
      {
        config: { scope: 'read' },
        schema: { params: indexSchema, response: { 200: evidenceProofSchema } },
      },
      (request) => evidence.prove(request.params.index, reachOf(contextOf(request))),
    );
    app.get(
      '/api/v1/evidence/export',
      { config: { scope: 'admin' }, schema: { response: { 200: evidenceBundleSchema } } },
      async (request, reply) => {
        if (!seesAll(contextOf(request)))
          throw new CorralError('permission_denied', {
            params: { scope: 'admin of the operator' },
          });
        const stream = Readable.from(jsonOf(await evidence.export()));
        // The schema describes what the bytes say; a stream is not checked against it.
        return reply.type('application/json; charset=utf-8').send(stream as never);
      },
    );
  };
