// A key is needed by default: this hook runs for every route, and only a route's own `config` opens it
// (`public`) or says which scope it wants. Never decided by looking at a URL.
import { CorralError, type KeyScope } from '@corral/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RequestContext } from './request-context.ts';

export interface Authenticator {
  authenticate(key: string): Promise<{
    readonly keyId: string;
    readonly projectId: string;
    readonly operator: boolean;
    readonly scopes: ReadonlySet<KeyScope>;
  }>;
}

/** Call on the root instance, before any route. */
export function registerAuthentication(app: FastifyInstance, access: Authenticator): void {
  app.decorateRequest('corralContext', null);
  app.addHook('onRequest', async (request) => {
    // Unknown routes say so to everybody: they hold nothing.
    if (request.is404 || request.routeOptions.config.public === true) return;
    const { keyId, projectId, operator, scopes } = await access.authenticate(bearer(request));
    const context: RequestContext = {
      requestId: request.id,
      actor: { kind: 'key', id: keyId },
      projectId,
      operator,
      scopes,
    };
    const wanted = wantedScopes(request);
    if (!scopes.has('admin') && !wanted.some((scope) => scopes.has(scope)))
      throw new CorralError('permission_denied', { params: { scope: wanted.join('" or "') } });
    request.corralContext = context;
  });
}

function bearer(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (header === undefined) throw new CorralError('missing_api_key');
  const match = /^Bearer +(\S{1,512}) *$/i.exec(header);
  if (match?.[1] === undefined)
    throw new CorralError('invalid_api_key', { params: { hint: '(not a Bearer token)' } });
  return match[1];
}

function wantedScopes(request: FastifyRequest): readonly KeyScope[] {
  const { scope } = request.routeOptions.config;
  if (scope === undefined)
    return request.method === 'GET' || request.method === 'HEAD' ? ['read'] : ['admin'];
  return typeof scope === 'string' ? [scope] : scope;
}
