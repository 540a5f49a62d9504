// Models feature: what other features and compose.ts may use.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import { createHttpClient } from '../../download/http-client.ts';
import { createSources, trusting } from '../../download/sources.ts';
import type { SourceSettings } from '../../download/sources.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { Feature } from '../../http/feature.ts';
import type { OperationService } from '../operations/index.ts';
import { createImportService } from './import-service.ts';
import type { ImportService } from './import-service.ts';
import { modelsRoutes } from './models-routes.ts';
import { createModelsService } from './models-service.ts';
import { registerRemoteModels } from './remote-models.ts';
import type { RemoteModel } from './remote-models.ts';
import type { AdapterDeployment, ModelsService } from './models-service.ts';
import { createWeightStore } from './weight-store.ts';

export type {
  ModelsPort,
  ParityPort,
  ParitySubject,
  TrainableBase,
  TrainedModel,
  TrainedResult,
} from './models-port.ts';
export type { AdapterDeployment, ModelsService } from './models-service.ts';
export { requireOperator } from './models-service.ts';
export { modelsStore } from './models-store.ts';
export type { ModelRow } from './models-store.ts';
export { modelsMigrations } from './models-tables.ts';
export { isFullPrecision } from './serving-format.ts';
export { isTrained } from './trained-models.ts';
export { hashFile } from './weight-store.ts';

export interface ModelsDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly operations: OperationService;
  readonly engines: Pick<Engines, 'quantise' | 'unload'>;
  readonly deployments: AdapterDeployment;
  /** Models on other servers. */
  readonly remotes?: readonly RemoteModel[];
  /** CORRAL_HOME/models. */
  readonly folder: string;
  readonly sources?: SourceSettings;
  /** Root that shipped models are relative to; default: the repository or package this file is in. */
  readonly shippedRoot?: string;
}

const repositoryRoot = (): string => {
  const fromSource = fileURLToPath(new URL('../../../../../', import.meta.url));
  return existsSync(fromSource) ? fromSource : process.cwd();
};

export function createModelsFeature(
  deps: ModelsDependencies,
): Feature & { readonly service: ModelsService; readonly imports: ImportService } {
  const { folder, sources: settings = {}, shippedRoot = repositoryRoot() } = deps;
  const client = createHttpClient({ isTrusted: trusting(settings) });
  const weights = createWeightStore(folder);
  const service = createModelsService({ ...deps, weights });
  const imports = createImportService({
    ...deps,
    weights,
    fetching: { client, sources: createSources(client, settings), shippedRoot },
  });
  return {
    service,
    imports,
    routes: modelsRoutes(service, imports),
    start: () => registerRemoteModels(deps, deps.remotes ?? []),
    close: () => client.close(),
  };
}
