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
import { catalogue } from './catalogue.ts';
import type { ModelGuard, ModelsPort, TrainableBase, TrainedAdapter } from './models-port.ts';
import { unservableReason } from './serving-format.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow, ServedName } from './models-store.ts';
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

const plainDefaults: TrainableBase['defaults'] = {};

const notFound = (id: string): CorralError =>
  new CorralError('model_not_found', { params: { model: id }, param: 'model' });

const adapterRow = (adapter: TrainedAdapter, base: ModelRow, now: Date): ModelRow => ({
  id: adapter.id,
  project: adapter.project,
  kind: 'adapter',
  base: base.id,
  owned_by: adapter.project,
  // The terms of the base follow its derivatives.
  license: base.license,
  source: 'fine-tuning',
  reference: null,
  architecture: base.architecture,
  parameters: base.parameters,
  context_length: base.context_length,
  format: 'LoRA',
  serving_format: base.serving_format,
  bytes: adapter.gguf.bytes,
  sha256: adapter.gguf.sha256,
  path: adapter.folder,
  serving_sha256: adapter.gguf.sha256,
  serving_path: adapter.gguf.path,
  job_id: adapter.jobId,
  golden_path: adapter.goldenPath,
  parity: adapter.parity,
  created_at: now,
});

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
    if (row.kind === 'base') await refuseWhileUsed(tx, { id, guards });
    else await deployments.withdraw(tx, { project: context.projectId, id }, from);
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
  for (const path of new Set([row.path, row.serving_path])) {
    if (path !== null && remoteIdOf(path) === null && !(await modelsStore.isFileUsed(db, path)))
      await weights.remove(path);
  }
}

async function registerAdapter(
  { audit, deployments, now = () => new Date() }: Dependencies,
  tx: Tx,
  { adapter, from }: { adapter: TrainedAdapter; from: From },
): Promise<void> {
  const base = await getModel(tx, adapter.project, adapter.base);
  const row = adapterRow(adapter, base, now());
  await modelsStore.insert(tx, row);
  await audit.append(tx, {
    ...from,
    action: 'model.registered',
    resource: { kind: 'model', id: row.id },
    outcome: 'ok',
    before: null,
    after: {
      sha256: row.sha256,
      bytes: row.bytes,
      job: adapter.jobId,
      base: base.id,
      base_sha256: base.sha256,
      serving_base_sha256: base.serving_sha256,
      license: base.license,
      parity: adapter.parity,
    },
  });
  const model = { project: adapter.project, id: adapter.id };
  if (adapter.parity.passed) await deployments.deployTrained(tx, model, from);
}

export function createModelsService(deps: Dependencies): ModelsService {
  const { db, audit } = deps;
  const guards: ModelGuard[] = [];
  return {
    get: getModel,
    remove: (context, id) => removeModel(deps, context, { id, guards }),
    addGuard: (guard) => void guards.push(guard),
    registerAdapter: (tx, adapter, from) => registerAdapter(deps, tx, { adapter, from }),

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
      const row = await getModel(executor, project, id);
      if (row.kind === 'adapter') {
        const reason = `"${id}" is fine-tuned already; give its base "${row.base ?? ''}".`;
        throw new CorralError('invalid_request', { params: { reason }, param: 'model' });
      }
      if (remoteIdOf(row.path) !== null) {
        const reason = `"${id}" runs on another server; training needs the weights here.`;
        throw new CorralError('invalid_request', { params: { reason }, param: 'model' });
      }
      const defaults = catalogue.get(id)?.defaults ?? plainDefaults;
      const unservable = unservableReason(row);
      return { id, trainingPath: row.path, sha256: row.sha256, unservable, defaults };
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
