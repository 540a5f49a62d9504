// What every feature may be built from, each taking the few it needs (`Pick<Platform, 'db' | …>`).
import type { FastifyBaseLogger } from 'fastify';
import type { ArtifactStore } from './artifacts/artifact-store.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { Config } from './config.ts';
import type { Database, Db } from './db/database.ts';
import type { HomePaths } from './home.ts';
import type { Metrics } from './http/metrics.ts';
import type { SseStreams } from './http/sse.ts';
import type { Idempotency } from './idempotency/idempotency.ts';
import type { JobQueue } from './jobs/queue.ts';

export interface Platform {
  readonly config: Config;
  readonly home: HomePaths;
  readonly database: Database;
  readonly db: Db;
  readonly audit: AuditLog;
  readonly artifacts: ArtifactStore;
  readonly queue: JobQueue;
  readonly idempotency: Idempotency;
  readonly metrics: Metrics;
  readonly streams: SseStreams;
  readonly log: FastifyBaseLogger;
}
