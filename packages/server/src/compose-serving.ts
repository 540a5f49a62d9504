// The half of the object graph that serves models: engines, operations, deployments, models, parity,
// gateway. Made here from the platform, and nowhere else. No logic.
import { hostname } from 'node:os';
import type { Config } from './config.ts';
import type { SourceSettings } from './download/sources.ts';
import { createEngineSupervisor } from './engines/engine-supervisor.ts';
import type { Engines, EngineSupervisorOptions } from './engines/engine-supervisor.ts';
import { servingSettings } from './engines/serving-settings.ts';
import { createDeploymentsFeature, deploymentsMigrations } from './features/deployments/index.ts';
import {
  createDefaultPolicy,
  createGatewayFeature,
  gatewayMigrations,
} from './features/gateway/index.ts';
import type { ContentPolicy } from './features/gateway/index.ts';
import { createExportsFeature } from './features/exports/index.ts';
import { createModelsFeature, modelsMigrations } from './features/models/index.ts';
import type { ModelsPort, ParityPort } from './features/models/index.ts';
import { createOperationsFeature, operationsMigrations } from './features/operations/index.ts';
import { createParityFeature } from './features/parity/index.ts';
import type { FeatureMigrations } from './db/tables.ts';
import type { Feature } from './http/feature.ts';
import type { Platform } from './platform.ts';

export interface ServingOptions {
  readonly engine?: EngineSupervisorOptions;
  readonly sources?: SourceSettings;
  readonly policy?: ContentPolicy;
  /** Root that shipped models are relative to. */
  readonly shippedRoot?: string;
}

export interface Serving {
  readonly engines: Engines;
  readonly models: ModelsPort;
  readonly parity: ParityPort;
  /** In the order in which they start; they close in reverse, engines last. */
  readonly features: readonly Feature[];
}

export const servingMigrations: FeatureMigrations = {
  ...operationsMigrations,
  ...modelsMigrations,
  ...deploymentsMigrations,
  ...gatewayMigrations,
};

const sourceSettings = (sources: Config['sources']): SourceSettings => ({
  huggingFaceEndpoint: sources.hugging_face_endpoint,
  huggingFaceToken: sources.hugging_face_token,
  modelScopeEndpoint: sources.modelscope_endpoint,
  pypiEndpoint: sources.pypi_endpoint,
  trustedHosts: sources.trusted_hosts,
});

export function composeServing(platform: Platform, options: ServingOptions = {}): Serving {
  const { config, home, log } = platform;
  const engines = createEngineSupervisor({
    engine: config.engine,
    ...servingSettings(config.serving),
    remotes: config.engines,
    codeCache: home.codeCache,
    prefixCaches: { folder: home.prefixCache, keep: config.serving.prefix_cache_on_disk === 'on' },
    onLog: (line) => log.info({ engine: line }, 'engine'),
    ...options.engine,
  });
  const operations = createOperationsFeature({
    ...platform,
    server: `${hostname()}:${home.root}:`,
    onDefect: (error, operation) => log.error({ err: error, operation }, 'An operation failed.'),
  });
  const deployments = createDeploymentsFeature({
    ...platform,
    engines,
    pinned: config.serving.pinned,
    onUnknownPin: (id) => log.warn({ model: id }, 'serving.pinned names no model that is served.'),
  });
  const models = createModelsFeature({
    ...platform,
    operations: operations.service,
    deployments: deployments.service,
    engines,
    folder: home.models,
    remotes: config.engines,
    sources: options.sources ?? sourceSettings(config.sources),
    ...(options.shippedRoot === undefined ? {} : { shippedRoot: options.shippedRoot }),
  });
  const parity = createParityFeature({
    ...platform,
    engines,
    models: models.service,
    operations: operations.service,
  });
  const gateway = createGatewayFeature({
    ...platform,
    engines,
    deployments: deployments.service,
    policy: options.policy ?? createDefaultPolicy(),
    requestsPerKey: config.limits.requests_per_key,
  });
  const exported = createExportsFeature({
    ...platform,
    engines,
    models: models.service,
    parity: parity.service,
    operations: operations.service,
  });
  const children: Feature = { routes: async () => undefined, close: () => engines.close() };
  return {
    engines,
    models: models.service,
    parity: parity.service,
    // Operations close first (cancelling what runs on engines and downloads), so they come last.
    features: [children, models, parity, deployments, gateway, exported, operations],
  };
}
