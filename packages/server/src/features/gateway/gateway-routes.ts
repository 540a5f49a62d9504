// /v1/chat/completions, /v1/completions, /v1/policy, /api/v1/render, /api/v1/fingerprints/{id}: HTTP in and
// out of the gateway. A client that goes away takes its generation with it.
import {
  CorralError,
  chatCompletionRequestSchema,
  chatMessageSchema,
  newId,
} from '@corral/contracts';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { SseStream, SseStreams } from '../../http/sse.ts';
import { chatSettings, promptMessages } from './chat-request.ts';
import { runStream, runWhole } from './completion-runner.ts';
import { chatShape, textShape } from './completion-shapes.ts';
import type { CompletionShape, FinishedChoice } from './completion-shapes.ts';
import type { ContentPolicy } from './content-policy.ts';
import type { FingerprintStore } from './fingerprint-store.ts';
import type { GatewayRequest, GatewayService } from './gateway-service.ts';
import { completionRequestSchema, textPrompts, textSettings } from './text-request.ts';

export interface GatewayRouteDependencies {
  readonly gateway: GatewayService;
  readonly policy: ContentPolicy;
  readonly fingerprints: FingerprintStore;
  readonly streams: SseStreams;
  readonly onFinished: (choices: readonly FinishedChoice[]) => void;
}

/** Aborted when the client goes away before its answer is complete. */
function signalOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

const renderSchema = z.object({
  model: z.string().min(1).max(256),
  messages: z.array(chatMessageSchema).min(1).max(2048),
});

/** Answers with one object, or with a stream on the hijacked reply. */
async function complete(
  deps: GatewayRouteDependencies,
  { context, reply }: { context: RequestContext; reply: FastifyReply },
  { request, shape }: { request: GatewayRequest; shape: CompletionShape },
): Promise<unknown> {
  const { gateway, streams, onFinished } = deps;
  const { settings, model } = request;
  const created = Math.floor(Date.now() / 1000);
  const answering = await gateway.answer(context, request, signalOf(reply));
  const id = newId('completion').replace(/^chatcmpl-/, shape.idPrefix);
  const run = {
    answering,
    head: { id, created, model, system_fingerprint: answering.fingerprint },
    shape,
    withLogprobs: settings.topLogprobs !== null,
    includeUsage: settings.includeUsage,
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

export const gatewayRoutes =
  (deps: GatewayRouteDependencies): FeatureRoutes =>
  async (app) => {
    const { gateway, policy, fingerprints } = deps;

    app.post(
      '/v1/chat/completions',
      { config: { scope: 'inference' }, schema: { body: chatCompletionRequestSchema } },
      async (request, reply) => {
        const { body } = request;
        const settings = chatSettings(body);
        const asked = { kind: 'messages', messages: promptMessages(body.messages) } as const;
        const work = { request: { model: body.model, asked, settings }, shape: chatShape };
        return complete(deps, { context: contextOf(request), reply }, work);
      },
    );
    app.post(
      '/v1/completions',
      { config: { scope: 'inference' }, schema: { body: completionRequestSchema } },
      async (request, reply) => {
        const { body } = request;
        const settings = textSettings(body);
        const work = { request: { model: body.model, asked: textPrompts(body), settings } };
        const caller = { context: contextOf(request), reply };
        return complete(deps, caller, { ...work, shape: textShape });
      },
    );
    app.post(
      '/api/v1/render',
      { config: { scope: ['inference', 'training', 'read'] }, schema: { body: renderSchema } },
      async (request) => {
        const { model, messages } = request.body;
        return gateway.render(contextOf(request), { model, messages: promptMessages(messages) });
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
