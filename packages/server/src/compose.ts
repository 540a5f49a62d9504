// The object graph: every service is made here, from the ones above it, and nowhere else. No logic.
import { join } from 'node:path';
import type { CheckpointSigner } from '@corral/evidence';
import type { FastifyBaseLogger } from 'fastify';
import { createArtifactStore } from './artifacts/artifact-store.ts';
import { composeServing, type ServingOptions } from './compose-serving.ts';
import type { Config } from './config.ts';
import type { Database } from './db/database.ts';
import { createAccessFeature, type AccessService } from './features/access/index.ts';
import { createEvidenceFeature } from './features/evidence/index.ts';
import { createFilesFeature } from './features/files/index.ts';
import { createFineTuningFeature } from './features/fine-tuning/index.ts';
import type { ModelsPort, ParityPort } from './features/models/index.ts';
import { createStatusFeature } from './features/status/index.ts';
import { homePaths } from './home.ts';
import type { Feature } from './http/feature.ts';
import { createMetrics } from './http/metrics.ts';
import { SseStreams } from './http/sse.ts';
import { createIdempotency } from './idempotency/idempotency.ts';
import { createJobQueue } from './jobs/queue.ts';
import type { Platform } from './platform.ts';

export interface Composition {
  readonly platform: Platform;
  readonly access: AccessService;
  readonly setReady: (ready: boolean) => void;
  /** In the order in which they start; they close in reverse. */
  readonly features: readonly Feature[];
}

export interface ComposeOptions {
  readonly config: Config;
  readonly database: Database;
  readonly signer: CheckpointSigner;
  readonly log: FastifyBaseLogger;
  /** Tests put others in the place of children, of the network and of the models. */
  readonly substitutes?: Substitutes;
}
export interface Substitutes {
  readonly serving?: ServingOptions;
  readonly trainerEntry?: string;
  readonly models?: ModelsPort;
  readonly parity?: ParityPort;
}

export function compose(options: ComposeOptions): Composition {
  const { config, database, signer, log, substitutes = {} } = options;
  const home = homePaths(config.home);
  const { db } = database;
  const metrics = createMetrics();
  const streams = new SseStreams();
  metrics.gauge('corral_streams_open', 'Answers being streamed.', () => streams.size);
  const evidence = createEvidenceFeature({ db, signer });
  const platform: Platform = {
    config,
    home,
    database,
    db,
    audit: evidence.service,
    artifacts: createArtifactStore(join(home.artifacts, 'models')),
    queue: createJobQueue({
      database,
      onError: (error) => log.error({ err: error }, 'The job queue reported an error.'),
    }),
    idempotency: createIdempotency({ db }),
    metrics,
    streams,
    log,
  };
  const access = createAccessFeature(platform);
  const idempotency: Feature = {
    routes: async () => undefined,
    start: () => platform.idempotency.sweep(),
  };
  const files = createFilesFeature({
    ...platform,
    artifacts: createArtifactStore(join(home.artifacts, 'files')),
    maxBytes: config.limits.file_bytes,
  });
  const serving = composeServing(platform, substitutes.serving);
  const fineTuning = createFineTuningFeature({
    ...platform,
    access: access.service,
    files: files.service,
    models: substitutes.models ?? serving.models,
    parity: substitutes.parity ?? serving.parity,
    trainerEntry: substitutes.trainerEntry,
  });
  const status = createStatusFeature({
    database,
    home: home.root,
    metrics,
    engines: () => serving.engines.report(),
    memory: () => serving.engines.memory(),
    jobs: (project) => fineTuning.counts(project),
    evidenceSize: () => evidence.service.size(),
  });
  return {
    platform,
    access: access.service,
    setReady: status.setReady,
    features: [evidence, access, idempotency, files, ...serving.features, fineTuning, status],
  };
}
