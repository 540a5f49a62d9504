// Vectors for texts: the same doors as for answers (model, policy, room), then batches through the engine.
// Knows no HTTP and no encodings.
import { CorralError } from '@corral/contracts';
import type { Prompt } from '@corral/contracts';
import type { RequestContext } from '../../http/request-context.ts';
import { engineOf, refuseOversized, textFrom } from './gateway-service.ts';
import type { GatewayDependencies } from './gateway-service.ts';
import { judgePrompts } from './policy-gate.ts';

interface EmbeddingsRequest {
  readonly model: string;
  readonly prompts: readonly Prompt[];
  readonly pooling: 'model' | 'mean' | 'last' | 'cls';
  readonly normalize: boolean;
}

interface Embeddings {
  /** The model behind the name. */
  readonly model: string;
  /** Float32 little-endian, base64, one a prompt. */
  readonly vectors: readonly string[];
  readonly promptTokens: number;
}

export interface EmbeddingsService {
  /** Throws model_not_found, content_blocked, context_length_exceeded, rate_limit_exceeded, engine_*. */
  embed(
    context: RequestContext,
    request: EmbeddingsRequest,
    signal: AbortSignal,
  ): Promise<Embeddings>;
}

/**
 * Prompts of one call to the engine. Few enough that a caller who has gone, or another tenant who waits,
 * does not wait for a whole corpus.
 */
const promptsPerCall = 32;

export function createEmbeddingsService(deps: GatewayDependencies): EmbeddingsService {
  return {
    async embed(context, { model, prompts: given, pooling, normalize }, signal) {
      const served = await deps.deployments.resolve(deps.db, context.projectId, model);
      const engine = engineOf(deps, served);
      const { n_ctx: nCtx } = await engine.info();
      await refuseOversized(engine, given, nCtx);
      const { prompts } = await judgePrompts(deps, context, {
        model: served.model.id,
        prompts: given,
        field: 'input',
        textOf: textFrom(engine),
      });
      const release = deps.limiter.take(context.actor.id);
      try {
        const vectors: string[] = [];
        let promptTokens = 0;
        for (let at = 0; at < prompts.length; at += promptsPerCall) {
          if (signal.aborted) throw new CorralError('cancelled');
          const { embeddings, prompt_tokens: counts } = await engine.embed({
            tenant: context.projectId,
            adapter: served.adapter,
            prompts: prompts.slice(at, at + promptsPerCall),
            pooling,
            normalize,
          });
          vectors.push(...embeddings);
          promptTokens += counts.reduce((sum, count) => sum + count, 0);
        }
        return { model: served.model.id, vectors, promptTokens };
      } finally {
        release();
      }
    },
  };
}
