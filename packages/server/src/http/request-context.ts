// Who asks, for which project, with which rights: attached to every authenticated request.
import type { KeyScope } from '@corral/contracts';
import type { FastifyRequest } from 'fastify';

interface Actor {
  readonly kind: 'key' | 'system';
  readonly id: string;
}

export interface RequestContext {
  readonly requestId: string;
  readonly actor: Actor;
  readonly projectId: string;
  /** The project is that of whoever runs this server. With scope `admin`: sees other projects' too. */
  readonly operator: boolean;
  readonly scopes: ReadonlySet<KeyScope>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Null on public routes only. Read it through `contextOf`. */
    corralContext: RequestContext | null;
  }
  interface FastifyContextConfig {
    /** No key needed. Every other route needs one. */
    public?: boolean;
    /**
     * Any one of these scopes opens the route; `admin` always does. Default: `read` for GET and HEAD,
     * `admin` for the rest.
     */
    scope?: KeyScope | readonly KeyScope[];
  }
}

/** The context of an authenticated request; throws (a defect) on a public route. */
export function contextOf(request: FastifyRequest): RequestContext {
  if (request.corralContext === null) throw new Error('This route is public: it has no caller.');
  return request.corralContext;
}
