// Evidence feature: the log that every change is written to, and its proofs.
import type { CheckpointSigner } from '@corral/evidence';
import type { Db } from '../../db/database.ts';
import type { Feature } from '../../http/feature.ts';
import { evidenceRoutes } from './evidence-routes.ts';
import { createEvidenceService, type EvidenceService } from './evidence-service.ts';

export { loadSigner } from './evidence-key.ts';
export { evidenceMigrations } from './evidence-tables.ts';
export type { EvidenceService } from './evidence-service.ts';

export function createEvidenceFeature(deps: {
  db: Db;
  signer: CheckpointSigner;
}): Feature & { readonly service: EvidenceService } {
  const service = createEvidenceService(deps);
  return { service, routes: evidenceRoutes(service) };
}
