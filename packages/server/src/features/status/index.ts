// Status feature: is it alive, is it ready, what runs, what does it offer.
import { CorralError, statusSchema, type ServerStatus } from '@corral/contracts';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../../db/database.ts';
import type { Feature, FeatureRoutes } from '../../http/feature.ts';
import type { Metrics } from '../../http/metrics.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';
import { version } from '../../version.ts';

export interface StatusDependencies {
  readonly database: Database;
  readonly home: string;
  readonly metrics: Metrics;
  readonly engines: () => ServerStatus['engines'] | Promise<ServerStatus['engines']>;
  readonly memory: () => NonNullable<ServerStatus['serving']>;
  /** Of one project, or (null) of all. */
  readonly jobs: (project: string | null) => Promise<ServerStatus['jobs']>;
  readonly evidenceSize: () => Promise<number>;
}

export function createStatusFeature(deps: StatusDependencies): Feature & {
  /** From now on `/readyz` says 200; `close` takes it back. */
  readonly setReady: (ready: boolean) => void;
} {
  const { database, metrics } = deps;
  const startedAt = performance.now();
  let ready = false;
  const uptime = (): number => (performance.now() - startedAt) / 1000;
  registerGauges(deps, uptime);

  return {
    setReady: (value) => {
      ready = value;
    },
    routes: async (app) => {
      await app.register(healthRoutes(database, () => ready));
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
        async (request) => ({
          version,
          ready,
          uptime_seconds: uptime(),
          ...(await machineFor(deps, contextOf(request))),
        }),
      );
    },
    close: async () => {
      ready = false;
    },
  };
}

const healthRoutes =
  (database: Database, isReady: () => boolean): FeatureRoutes =>
  async (app) => {
    const okSchema = z.object({ status: z.literal('ok') });
    const open = { config: { public: true }, schema: { response: { 200: okSchema } } };
    app.get('/healthz', open, async () => ({ status: 'ok' as const }));
    app.get('/readyz', open, async () => {
      if (!isReady())
        throw new CorralError('overloaded', {
          params: { reason: 'the server is starting or shutting down' },
        });
      await sql`select 1`.execute(database.db).catch(unreachable);
      return { status: 'ok' as const };
    });
  };

function registerGauges({ metrics, jobs, memory }: StatusDependencies, uptime: () => number): void {
  metrics.gauge('corral_uptime_seconds', 'Since this process began to start.', uptime);
  metrics.gauge('corral_resident_memory_bytes', 'Of the server process.', () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge(
    'corral_serving_memory_reserved_bytes',
    'What loaded models take.',
    () => memory().reserved_bytes,
  );
  metrics.gauge(
    'corral_serving_memory_limit_bytes',
    'What they may take.',
    () => memory().limit_bytes,
  );
  metrics.gauge(
    'corral_serving_waiting',
    'Requests whose model has no place in memory yet.',
    () => memory().waiting,
  );
  metrics.gauge('corral_jobs_running', 'Fine-tuning runs.', async () => (await jobs(null)).running);
  metrics.gauge('corral_jobs_queued', 'Fine-tuning runs.', async () => (await jobs(null)).queued);
}

function unreachable(cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new CorralError('database_unreachable', { params: { reason }, cause });
}

/** The machine, and what other projects do on it, are the operator's to know. */
async function machineFor(
  { database, home, engines, memory, jobs, evidenceSize }: StatusDependencies,
  { operator, projectId }: RequestContext,
): Promise<Omit<ServerStatus, 'version' | 'ready' | 'uptime_seconds'>> {
  const { kind, version: release } = database;
  if (!operator)
    return {
      pid: 0,
      home: '',
      database: { kind, version: '' },
      engines: [],
      jobs: await jobs(projectId),
      evidence: { size: 0 },
    };
  return {
    pid: process.pid,
    home,
    database: { kind, version: release },
    engines: await engines(),
    serving: memory(),
    jobs: await jobs(null),
    evidence: { size: await evidenceSize() },
  };
}
