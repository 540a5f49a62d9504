// Gateway feature: OpenAI's completions and embeddings over whatever is deployed, under the policy in force.
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { Feature } from '../../http/feature.ts';
import type { Metrics } from '../../http/metrics.ts';
import type { SseStreams } from '../../http/sse.ts';
import type { DeploymentsService } from '../deployments/index.ts';
import type { FinishedChoice } from './completion-shapes.ts';
import { usageOf } from './completion-shapes.ts';
import type { ContentPolicy } from './content-policy.ts';
import { createFingerprintStore } from './fingerprint-store.ts';
import { gatewayRoutes } from './gateway-routes.ts';
import { createEmbeddingsService } from './embeddings-service.ts';
import { embeddingsRoutes } from './embeddings-routes.ts';
import { createGatewayService } from './gateway-service.ts';
import { createKeyLimiter } from './key-limiter.ts';

export type { ContentPolicy } from './content-policy.ts';
export { createDefaultPolicy } from './default-policy.ts';
export { gatewayMigrations } from './fingerprint-store.ts';

export interface GatewayFeatureDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly engines: Pick<Engines, 'engine'>;
  readonly deployments: Pick<DeploymentsService, 'resolve'>;
  readonly policy: ContentPolicy;
  readonly streams: SseStreams;
  readonly metrics: Metrics;
  /** Generations one key may have waiting or running. */
  readonly requestsPerKey: number;
}

export function createGatewayFeature(deps: GatewayFeatureDependencies): Feature {
  const { db, policy, streams, metrics, requestsPerKey } = deps;
  const fingerprints = createFingerprintStore(db);
  const limiter = createKeyLimiter(requestsPerKey);
  const parts = { ...deps, fingerprints, limiter };
  const gateway = createGatewayService(parts);
  const embeddings = createEmbeddingsService(parts);
  const tokens = metrics.counter('corral_tokens_total', 'Tokens read and written.');
  const answers = metrics.counter('corral_generations_total', 'Answers, by how they ended.');
  const onFinished = (choices: readonly FinishedChoice[]): void => {
    const usage = usageOf(choices);
    tokens.add(usage.prompt_tokens, { kind: 'prompt' });
    tokens.add(usage.completion_tokens, { kind: 'completion' });
    for (const { finishReason } of choices) answers.add(1, { finish_reason: finishReason });
  };
  const onEmbedded = (count: number): void => tokens.add(count, { kind: 'embedding' });
  const completions = gatewayRoutes({ gateway, policy, fingerprints, streams, onFinished });
  const vectors = embeddingsRoutes({ embeddings, onEmbedded });
  return {
    routes: async (app) => {
      await app.register(completions);
      await app.register(vectors);
    },
  };
}
