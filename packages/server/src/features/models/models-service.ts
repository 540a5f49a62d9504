// The models that a project sees: asked for, removed, trained on, added by a finished run. How weights
// arrive is import-service.ts; which names answer to requests is the deployments feature.
import { CorralError } from '@corral/contracts';
import type { Parity } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { AuditInput, AuditLog } from '../../audit/audit-log.ts';
import type { Db, Executor, Tx } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import { remoteIdOf } from '../../engines/remote/remote-settings.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { ModelGuard, ModelsPort, TrainedModel } from './models-port.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow, ServedName } from './models-store.ts';
import {
  isTrained,
  registerTrained,
  takeInTrained,
  trainableOf,
  trainedRow,
} from './trained-models.ts';
import type { WeightStore } from './weight-store.ts';

type From = Pick<AuditInput, 'actor' | 'project' | 'request_id'>;

/** What the models feature asks of whoever serves names; the deployments feature fits. */
export interface AdapterDeployment {
  /** Serves a model under its own id, in the caller's transaction. */
  deployTrained(tx: Tx, model: { project: string; id: string }, from: From): Promise<void>;
  /** Ends the name that is the model's own id; throws conflict while other names use it. */
  withdraw(tx: Tx, model: { project: string; id: string }, from: From): Promise<void>;
}

export interface ModelsService extends ModelsPort {
  list(project: string): Promise<{ rows: ModelRow[]; names: ServedName[] }>;
  /** Throws model_not_found. */
  get(executor: Executor, project: string, id: string): Promise<ModelRow>;
  remove(context: RequestContext, id: string): Promise<void>;
  /** A new certificate, with its audit event. */
  recordParity(context: RequestContext, id: string, parity: Parity): Promise<void>;
}

/** Base models, and the disk they lie on, belong to all projects: only the operator changes them. */
export function requireOperator({ operator }: RequestContext): void {
  if (operator) return;
  throw new CorralError('permission_denied', { params: { scope: 'admin of the operator' } });
}

const notFound = (id: string): CorralError =>
  new CorralError('model_not_found', { params: { model: id }, param: 'model' });

interface Dependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly engines: Pick<Engines, 'unload'>;
  readonly weights: WeightStore;
  readonly deployments: AdapterDeployment;
  readonly now?: () => Date;
}

async function getModel(executor: Executor, project: string, id: string): Promise<ModelRow> {
  const row = await modelsStore.find(executor, project, id);
  if (!row) throw notFound(id);
  return row;
}

async function lockModel(tx: Tx, project: string, id: string): Promise<ModelRow> {
  const row = await modelsStore.lock(tx, project, id);
  if (!row) throw notFound(id);
  return row;
}

interface Removal {
  readonly id: string;
  readonly guards: readonly ModelGuard[];
}

async function removeModel(
  deps: Dependencies,
  context: RequestContext,
  { id, guards }: Removal,
): Promise<void> {
  const { db, audit, engines, weights, deployments } = deps;
  const from = auditFrom(context);
  const row = await db.transaction().execute(async (tx) => {
    const row = await lockModel(tx, context.projectId, id);
    if (row.project === null) requireOperator(context);
    // The name that is its own goes with it; others keep it.
    if (isTrained(row)) await deployments.withdraw(tx, { project: context.projectId, id }, from);
    await refuseWhileUsed(tx, { id, guards });
    await modelsStore.remove(tx, id);
    await audit.append(tx, {
      ...from,
      action: 'model.deleted',
      resource: { kind: 'model', id },
      outcome: 'ok',
      before: { sha256: row.sha256, kind: row.kind, base: row.base, job: row.job_id },
      after: null,
    });
    return row;
  });
  if (row.kind === 'adapter') return; // Its files belong to the job that made them.
  await engines.unload(id);
  // The store removes its own files only: the folder of a job stays with the job.
  for (const path of new Set([row.path, row.serving_path])) {
    if (path !== null && remoteIdOf(path) === null && !(await modelsStore.isFileUsed(db, path)))
      await weights.remove(path);
  }
}

async function register(
  { audit, deployments, now = () => new Date() }: Dependencies,
  tx: Tx,
  { trained, from }: { trained: TrainedModel; from: From },
): Promise<void> {
  const { id, project, trainedOn } = trained;
  const parent = await getModel(tx, project, trainedOn);
  const row = trainedRow(trained, parent, now());
  await registerTrained(audit, tx, { row, parent, from });
  if (trained.parity.passed) await deployments.deployTrained(tx, { project, id }, from);
}

export function createModelsService(deps: Dependencies): ModelsService {
  const { db, audit } = deps;
  const guards: ModelGuard[] = [];
  return {
    get: getModel,
    remove: (context, id) => removeModel(deps, context, { id, guards }),
    addGuard: (guard) => void guards.push(guard),
    takeIn: (folder, signal) => takeInTrained(deps.weights, folder, signal),
    registerTrained: (tx, trained, from) => register(deps, tx, { trained, from }),

    async list(project) {
      const [rows, names] = await Promise.all([
        modelsStore.list(db, project),
        modelsStore.servedNames(db, project),
      ]);
      return { rows, names };
    },

    async recordParity(context, id, parity) {
      await db.transaction().execute(async (tx) => {
        const before = await lockModel(tx, context.projectId, id);
        await modelsStore.setParity(tx, id, parity);
        await audit.append(tx, {
          ...auditFrom(context),
          action: 'model.parity_checked',
          resource: { kind: 'model', id },
          outcome: parity.passed ? 'ok' : 'failed',
          before: before.parity === null ? null : { parity: before.parity },
          after: { parity, sha256: before.sha256 },
        });
      });
    },

    async resolveBase(executor, project, id) {
      return trainableOf(executor, project, await getModel(executor, project, id));
    },
  };
}

async function refuseWhileUsed(tx: Tx, { id, guards }: Removal): Promise<void> {
  for (const guard of guards) {
    const reason = await guard(tx, id);
    if (reason !== null) throw new CorralError('conflict', { params: { reason } });
  }
  const adapters = await modelsStore.adaptersOf(tx, id);
  const names = await modelsStore.namesOf(tx, id);
  if (adapters.length + names.length === 0) return;
  const reason =
    adapters.length > 0
      ? `"${id}" is the base of ${adapters.length} fine-tuned models, for example "${adapters[0] ?? ''}".`
      : `"${id}" answers to the name "${names[0] ?? ''}"; remove that deployment first.`;
  throw new CorralError('conflict', { params: { reason } });
}
