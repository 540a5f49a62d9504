// Builds the HTTP application and listens to nothing: request ids, authentication, error bodies, headers,
// documentation, then each feature's routes. Tests call it with `inject`.
import { newId } from '@corral/contracts';
import fastifySwagger from '@fastify/swagger';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { registerAuthentication, type Authenticator } from './http/authentication.ts';
import { registerErrorHandling, sendUnparsed, sendUnrouted } from './http/errors.ts';
import type { Feature } from './http/feature.ts';
import { registerJsonBodies } from './http/json-bodies.ts';
import type { Metrics } from './http/metrics.ts';
import { version } from './version.ts';

export interface AppOptions {
  readonly log: FastifyBaseLogger;
  readonly access: Authenticator;
  readonly features: readonly Feature[];
  readonly metrics: Metrics;
  readonly bodyLimit: number;
}

/** What a proxy or client may call its request; anything else gets a new id. */
const saneRequestId = /^[\w.:-]{1,128}$/;

export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { log, access, features, metrics, bodyLimit } = options;
  const app = Fastify({
    loggerInstance: log,
    bodyLimit,
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id'];
      return typeof given === 'string' && saneRequestId.test(given) ? given : newId('request');
    },
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: sendUnrouted,
    clientErrorHandler: sendUnparsed,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  registerObservation(app, metrics);
  registerErrorHandling(app, bodyLimit);
  registerJsonBodies(app);
  registerAuthentication(app, access);
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Corral', version },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  });
  for (const { routes } of features) await app.register(routes);
  await app.ready();
  return app;
}

function registerObservation(app: FastifyInstance, metrics: Metrics): void {
  const requests = metrics.counter('corral_http_requests_total', 'Requests answered.');
  const seconds = metrics.counter('corral_http_seconds_total', 'Time spent on them.');
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id);
  });
  app.addHook('onSend', async (_request, reply) => {
    void reply.header('openai-processing-ms', String(Math.round(reply.elapsedTime)));
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    requests.add(1, labels);
    seconds.add(reply.elapsedTime / 1000, { method: request.method, route });
    request.log.info(
      {
        ...labels,
        milliseconds: Math.round(reply.elapsedTime),
        actor: request.corralContext?.actor.id ?? null,
      },
      'request',
    );
  });
}
