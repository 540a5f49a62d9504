// /v1/chat/completions, /v1/completions, /v1/policy, /api/v1/render, /api/v1/fingerprints/{id}: HTTP in and
// out of the gateway. A client that goes away takes its generation with it.
import {
  CorralError,
  chatCompletionRequestSchema,
  completionRequestSchema,
  newId,
  renderRequestSchema,
} from '@corral/contracts';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { SseStream, SseStreams } from '../../http/sse.ts';
import { chatPrompt, chatSettings } from './chat-request.ts';
import { chatShape } from './chat-shape.ts';
import { clientSignal } from './client-signal.ts';
import { runStream, runWhole } from './completion-runner.ts';
import type { CompletionShape, FinishedChoice } from './completion-shapes.ts';
import type { ContentPolicy } from './content-policy.ts';
import type { FingerprintStore } from './fingerprint-store.ts';
import type { GatewayRequest, GatewayService } from './gateway-service.ts';
import { refuseTooMany, textPrompts, textSettings } from './text-request.ts';
import { textShape } from './text-shape.ts';
import { wantsOlderForm } from './tool-request.ts';

export interface GatewayRouteDependencies {
  readonly gateway: GatewayService;
  readonly policy: ContentPolicy;
  readonly fingerprints: FingerprintStore;
  readonly streams: SseStreams;
  readonly onFinished: (choices: readonly FinishedChoice[]) => void;
}

interface Work {
  readonly request: GatewayRequest;
  readonly shape: CompletionShape;
  readonly olderCalls: boolean;
}

/** A template decides what the model takes for an instruction: it is the operator's to change. */
function refuseTemplate(
  { scopes }: RequestContext,
  corral: { chat_template?: string | undefined } | undefined,
): void {
  if (corral?.chat_template === undefined || scopes.has('admin')) return;
  throw new CorralError('permission_denied', {
    params: { scope: 'admin' },
    param: 'corral.chat_template',
  });
}

/** Answers with one object, or with a stream on the hijacked reply. */
async function complete(
  deps: GatewayRouteDependencies,
  { context, reply }: { context: RequestContext; reply: FastifyReply },
  { request, shape, olderCalls }: Work,
): Promise<unknown> {
  const { gateway, streams, onFinished } = deps;
  const { settings, model } = request;
  const created = Math.floor(Date.now() / 1000);
  const answering = await gateway.answer(context, request, clientSignal(reply));
  const id = newId('completion').replace(/^chatcmpl-/, shape.idPrefix);
  const run = {
    answering,
    head: { id, created, model, system_fingerprint: answering.fingerprint },
    shape,
    olderCalls,
    withLogprobs: settings.topLogprobs !== null,
    includeUsage: settings.includeUsage,
    n: settings.n,
    echo: settings.echo,
  };
  if (!settings.stream) {
    const { body, choices } = await runWhole(run);
    onFinished(choices);
    return body;
  }
  let opened = false;
  const open = (): SseStream => {
    opened = true;
    return streams.open(reply);
  };
  try {
    onFinished(await runStream(run, open));
  } catch (error) {
    if (!opened) throw error;
    // The client has been told inside the stream, or has gone.
    const code = CorralError.isInstance(error) ? error.code : 'internal_error';
    if (code !== 'cancelled') reply.log.warn({ err: error, code }, 'A stream ended early.');
  }
  return reply;
}

/** POST /v1/chat/completions and /v1/completions. */
function completionRoutes(deps: GatewayRouteDependencies): FeatureRoutes {
  return async (app) => {
    app.post(
      '/v1/chat/completions',
      { config: { scope: 'inference' }, schema: { body: chatCompletionRequestSchema } },
      async (request, reply) => {
        const { body } = request;
        const context = contextOf(request);
        const settings = chatSettings(body);
        refuseTemplate(context, body.corral);
        const prompts = [chatPrompt(body)];
        const work: Work = {
          request: { model: body.model, prompts, field: 'messages', settings },
          shape: chatShape,
          olderCalls: wantsOlderForm(body),
        };
        return complete(deps, { context, reply }, work);
      },
    );
    app.post(
      '/v1/completions',
      { config: { scope: 'inference' }, schema: { body: completionRequestSchema } },
      async (request, reply) => {
        const { body } = request;
        const settings = textSettings(body);
        const prompts = textPrompts(body.prompt);
        refuseTooMany(prompts, settings.bestOf);
        const work: Work = {
          request: { model: body.model, prompts, field: 'prompt', settings },
          shape: textShape,
          olderCalls: false,
        };
        return complete(deps, { context: contextOf(request), reply }, work);
      },
    );
  };
}

/** What can be looked at without an answer: prompts, the policy, fingerprints. */
function readingRoutes({ gateway, policy, fingerprints }: GatewayRouteDependencies): FeatureRoutes {
  return async (app) => {
    app.post(
      '/api/v1/render',
      {
        config: { scope: ['inference', 'training', 'read'] },
        schema: { body: renderRequestSchema },
      },
      async (request) => {
        const { body } = request;
        const context = contextOf(request);
        refuseTemplate(context, body.corral);
        return gateway.render(context, { model: body.model, prompt: chatPrompt(body) });
      },
    );
    app.get('/v1/policy', { config: { public: true } }, () =>
      Promise.resolve({ object: 'policy', digest: policy.digest, packs: policy.packs }),
    );
    app.get(
      '/api/v1/fingerprints/:id',
      { schema: { params: z.object({ id: z.string().max(64) }) } },
      async (request) => {
        const { id } = request.params;
        const facts = await fingerprints.find(contextOf(request).projectId, id);
        if (!facts) throw new CorralError('not_found', { params: { kind: 'fingerprint', id } });
        return { fingerprint: id, ...facts };
      },
    );
  };
}

export const gatewayRoutes =
  (deps: GatewayRouteDependencies): FeatureRoutes =>
  async (app) => {
    await app.register(completionRoutes(deps));
    await app.register(readingRoutes(deps));
  };
