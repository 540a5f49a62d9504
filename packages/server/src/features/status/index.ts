// Status feature: is it alive, is it ready, what runs, what does it offer.
import { CorralError, statusSchema, type ServerStatus } from '@corral/contracts';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../../db/database.ts';
import type { Feature } from '../../http/feature.ts';
import type { Metrics } from '../../http/metrics.ts';
import { contextOf } from '../../http/request-context.ts';
import { version } from '../../version.ts';

export interface StatusDependencies {
  readonly database: Database;
  readonly home: string;
  readonly metrics: Metrics;
  readonly engines: () => ServerStatus['engines'] | Promise<ServerStatus['engines']>;
  readonly jobs: () => Promise<ServerStatus['jobs']>;
  readonly evidenceSize: () => Promise<number>;
}

export function createStatusFeature(deps: StatusDependencies): Feature & {
  /** From now on `/readyz` says 200; `close` takes it back. */
  readonly setReady: (ready: boolean) => void;
} {
  const { database, home, metrics, engines, jobs, evidenceSize } = deps;
  const startedAt = performance.now();
  let ready = false;
  const uptime = (): number => (performance.now() - startedAt) / 1000;
  metrics.gauge('corral_uptime_seconds', 'Since this process began to start.', uptime);
  metrics.gauge('corral_resident_memory_bytes', 'Of the server process.', () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge('corral_jobs_running', 'Fine-tuning runs.', async () => (await jobs()).running);
  metrics.gauge('corral_jobs_queued', 'Fine-tuning runs.', async () => (await jobs()).queued);
  const okSchema = z.object({ status: z.literal('ok') });

  return {
    setReady: (value) => {
      ready = value;
    },
    routes: async (app) => {
      const open = { config: { public: true }, schema: { response: { 200: okSchema } } };
      app.get('/healthz', open, async () => ({ status: 'ok' as const }));
      app.get('/readyz', open, async () => {
        if (!ready)
          throw new CorralError('overloaded', {
            params: { reason: 'the server is starting or shutting down' },
          });
        try {
          await sql`select 1`.execute(database.db);
        } catch (error) {
          throw new CorralError('database_unreachable', {
            params: { reason: error instanceof Error ? error.message : String(error) },
            cause: error,
          });
        }
        return { status: 'ok' as const };
      });
      app.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async () =>
        app.swagger(),
      );
      app.get(
        '/metrics',
        { config: { scope: 'read' }, schema: { hide: true } },
        async (request, reply) => {
          // Figures of every project together.
          if (!contextOf(request).operator)
            throw new CorralError('permission_denied', {
              params: { scope: 'read of the operator' },
            });
          return reply.type('text/plain; version=0.0.4').send(await metrics.render());
        },
      );
      app.get(
        '/api/v1/status',
        { config: { scope: 'read' }, schema: { response: { 200: statusSchema } } },
        async () => ({
          version,
          ready,
          pid: process.pid,
          home,
          uptime_seconds: uptime(),
          database: { kind: database.kind, version: database.version },
          engines: await engines(),
          jobs: await jobs(),
          evidence: { size: await evidenceSize() },
        }),
      );
    },
    close: async () => {
      ready = false;
    },
  };
}
