// Which name answers with which model. Base models answer to their own id as soon as they are there; a
// fine-tuned model answers when its parity certificate has passed; an alias is a name that can be turned
// from one to the other and back. Every change is one transaction with its audit event.
import { CorralError, newId } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { AuditInput, AuditLog } from '../../audit/audit-log.ts';
import type { Db, Executor, Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { isTrained, modelsStore, requireOperator } from '../models/index.ts';
import type { AdapterDeployment, ModelRow } from '../models/index.ts';
import { deploymentsStore } from './deployments-store.ts';
import type { DeploymentRow } from './deployments-store.ts';

type From = Pick<AuditInput, 'actor' | 'project' | 'request_id'>;

/** All that serving a name needs. */
export interface ServedModel {
  /** As the client said it. */
  readonly name: string;
  readonly model: ModelRow;
  readonly base: ModelRow & { readonly serving_path: string; readonly serving_sha256: string };
  readonly adapter: { readonly id: string; readonly path: string } | null;
}

export interface DeploymentsService extends AdapterDeployment {
  list(project: string): Promise<{ row: DeploymentRow; base: string }[]>;
  /** Throws model_not_found, parity_failed, conflict; permission_denied for pins by others than the operator. */
  deploy(
    context: RequestContext,
    input: { model: string; alias?: string | undefined; pinned?: boolean | undefined },
  ): Promise<{ row: DeploymentRow; base: string }>;
  /** Back to the model before; a second call goes forward again. */
  rollback(context: RequestContext, name: string): Promise<{ row: DeploymentRow; base: string }>;
  remove(context: RequestContext, name: string): Promise<void>;
  /** Throws model_not_found for what does not answer, model_unsupported for what cannot be served. */
  resolve(executor: Executor, project: string, name: string): Promise<ServedModel>;
}

const notFound = (model: string): CorralError =>
  new CorralError('model_not_found', { params: { model }, param: 'model' });
const noDeployment = (name: string): CorralError =>
  new CorralError('not_found', { params: { kind: 'deployment', id: name } });

/** Throws parity_failed unless the certificate says that this model answers as it was trained. */
function requireParity(model: ModelRow): void {
  if (!isTrained(model) || model.parity?.passed) return;
  const difference = model.parity?.first_difference;
  const reason =
    model.parity === null
      ? 'it has no parity certificate'
      : (difference?.likely_cause ?? 'its parity check did not pass');
  throw new CorralError('parity_failed', {
    params: { model: model.id, reason },
    details: { parity: model.parity },
  });
}

async function findModel(executor: Executor, project: string, id: string): Promise<ModelRow> {
  const model = await modelsStore.find(executor, project, id);
  if (!model) throw notFound(id);
  return model;
}

interface Dependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly now?: () => Date;
}

function record(
  { audit }: Dependencies,
  tx: Tx,
  change: { from: From; verb: string; name: string; before: string | null; after: string | null },
): Promise<void> {
  return audit.append(tx, {
    ...change.from,
    action: `deployment.${change.verb}`,
    resource: { kind: 'deployment', id: change.name },
    outcome: 'ok',
    before: change.before === null ? null : { model: change.before },
    after: change.after === null ? null : { model: change.after },
  });
}

/** Turns `name` to `model`; a name that already answers with it is left alone. */
async function point(
  deps: Dependencies,
  tx: Tx,
  target: {
    project: string;
    name: string;
    model: string;
    verb: string;
    from: From;
    pinned?: boolean | undefined;
  },
): Promise<DeploymentRow> {
  const { now = () => new Date() } = deps;
  const { project, name, model, verb, from } = target;
  const known = await deploymentsStore.lock(tx, project, name);
  const { pinned = known?.pinned ?? false } = target;
  if (known?.model === model && known.pinned === pinned) return known;
  const at = now();
  const isTurned = known !== undefined && known.model !== model;
  const row: DeploymentRow = {
    id: known?.id ?? newId('deployment'),
    project,
    name,
    model,
    previous_model: isTurned ? known.model : (known?.previous_model ?? null),
    pinned,
    created_at: known?.created_at ?? at,
    updated_at: at,
  };
  if (known) await deploymentsStore.point(tx, row.id, row);
  else await deploymentsStore.insert(tx, row);
  await record(deps, tx, { from, verb, name, before: known?.model ?? null, after: model });
  return row;
}

const baseOf = (model: ModelRow): string => model.base ?? model.id;

/** What people do with names. */
function changes(deps: Dependencies): Pick<DeploymentsService, 'deploy' | 'rollback' | 'remove'> {
  const { db } = deps;
  return {
    deploy: (context, { model: id, alias, pinned }) =>
      db.transaction().execute(async (tx) => {
        // The memory is the whole machine's.
        if (pinned !== undefined) requireOperator(context);
        const project = context.projectId;
        const model = await findModel(tx, project, id);
        const name = alias ?? id;
        requireParity(model);
        // Of what the project sees only: whether others have a model of that name is theirs to know.
        if (name !== id && (await modelsStore.find(tx, project, name))) {
          const reason = `"${name}" is a model's id and cannot be an alias.`;
          throw new CorralError('conflict', { params: { reason } });
        }
        const from = auditFrom(context);
        const target = { project, name, model: id, verb: 'created', from, pinned };
        return { row: await point(deps, tx, target), base: baseOf(model) };
      }),

    rollback: (context, name) =>
      db.transaction().execute(async (tx) => {
        const project = context.projectId;
        const known = await deploymentsStore.lock(tx, project, name);
        if (!known) throw noDeployment(name);
        if (known.previous_model === null) {
          const reason = `"${name}" has had one model only: "${known.model}".`;
          throw new CorralError('conflict', { params: { reason } });
        }
        const model = await findModel(tx, project, known.previous_model);
        requireParity(model);
        const from = auditFrom(context);
        const target = { project, name, model: model.id, verb: 'rolled_back', from };
        return { row: await point(deps, tx, target), base: baseOf(model) };
      }),

    remove: (context, name) =>
      db.transaction().execute(async (tx) => {
        const known = await deploymentsStore.lock(tx, context.projectId, name);
        if (!known) throw noDeployment(name);
        await deploymentsStore.remove(tx, known.id);
        const from = auditFrom(context);
        await record(deps, tx, { from, verb: 'deleted', name, before: known.model, after: null });
      }),
  };
}

/** What the models feature does with a model's own name. */
function ownNames(deps: Dependencies): AdapterDeployment {
  return {
    async deployTrained(tx, { project, id }, from) {
      await point(deps, tx, { project, name: id, model: id, verb: 'created', from });
    },

    async withdraw(tx, { project, id }, from) {
      const names = await deploymentsStore.namesOf(tx, project, id);
      const aliases = names.filter((name) => name !== id);
      if (aliases.length > 0) {
        const reason = `"${id}" answers to "${aliases.join('", "')}"; turn or remove these first.`;
        throw new CorralError('conflict', { params: { reason } });
      }
      const own = await deploymentsStore.lock(tx, project, id);
      if (!own) return;
      await deploymentsStore.remove(tx, own.id);
      await record(deps, tx, { from, verb: 'deleted', name: id, before: id, after: null });
    },
  };
}

export function createDeploymentsService(deps: Dependencies): DeploymentsService {
  return {
    ...changes(deps),
    ...ownNames(deps),
    async list(project) {
      const rows = await deploymentsStore.list(deps.db, project);
      return rows.map(({ base, ...row }) => ({ row, base: base ?? row.model }));
    },
    async resolve(executor, project, name) {
      const deployment = await deploymentsStore.find(executor, project, name);
      const model = await modelsStore.find(executor, project, deployment?.model ?? name);
      if (!model || (isTrained(model) && !deployment)) throw notFound(name);
      const base = model.base === null ? model : await findModel(executor, project, model.base);
      return { name, model, base: requireServable(base), adapter: adapterOf(model) };
    },
  };
}

function requireServable(base: ModelRow): ServedModel['base'] {
  const { serving_path, serving_sha256 } = base;
  if (serving_path === null || serving_sha256 === null) {
    throw new CorralError('model_unsupported', {
      params: {
        path: base.id,
        reason: 'it is a folder of safetensors, which can be trained on; serving needs a GGUF',
      },
    });
  }
  return { ...base, serving_path, serving_sha256 };
}

const adapterOf = (model: ModelRow): ServedModel['adapter'] =>
  model.kind === 'adapter' && model.serving_path !== null
    ? { id: model.sha256, path: model.serving_path }
    : null;
