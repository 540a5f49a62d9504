// The shape of a feature: `features/<name>/index.ts` exports `create<Name>Feature(deps)` that returns its
// service(s) and a `routes` plugin. compose.ts builds it, app.ts registers it; nothing else knows it.
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';

/** Registers routes with full paths (`/v1/files`). Zod schemas validate and document. */
export type FeatureRoutes = FastifyPluginAsyncZod;

export interface Feature {
  readonly routes: FeatureRoutes;
  /** After migrations and before the first request: take up work left by an earlier process. */
  start?(): Promise<void>;
  /** Orderly shutdown: end streams and children. Idempotent. Runs in reverse order of `start`. */
  close?(): Promise<void>;
}
