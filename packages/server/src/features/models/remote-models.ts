// Models that other servers serve, as the settings name them: each gets its row at the start, so that it is
// listed, deployed and found like any other. A row outlives its setting until somebody removes it.
import { createHash } from 'node:crypto';
import { CorralError } from '@corral/contracts';
import { auditFromSystem } from '../../audit/audit-log.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db, Tx } from '../../db/database.ts';
import { remotePath } from '../../engines/remote/remote-settings.ts';
import type { RemoteEngineSettings } from '../../engines/remote/remote-settings.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow } from './models-store.ts';

export type RemoteModel = Pick<
  RemoteEngineSettings,
  'id' | 'type' | 'base_url' | 'model' | 'context_length'
>;

/** Stands for the weights, which nobody here has seen: another server or name is another model. */
const digestOf = ({ type, base_url, model }: RemoteModel): string =>
  createHash('sha256').update([type, base_url, model].join('\n')).digest('hex');

function rowOf(remote: RemoteModel, now: Date): ModelRow {
  const [sha256, path] = [digestOf(remote), remotePath(remote.id)];
  return {
    id: remote.id,
    project: null,
    kind: 'base',
    base: null,
    owned_by: 'remote',
    license: { id: 'unknown', url: null },
    source: `another server (${remote.type})`,
    reference: null,
    architecture: 'remote',
    parameters: null,
    context_length: remote.context_length ?? null,
    format: 'remote',
    serving_format: 'remote',
    bytes: 0,
    sha256,
    path,
    serving_sha256: sha256,
    serving_path: path,
    job_id: null,
    derived_from: null,
    golden_path: null,
    parity: null,
    created_at: now,
  };
}

interface Dependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly now?: () => Date;
}

async function register(
  { audit, now = () => new Date() }: Dependencies,
  tx: Tx,
  remote: RemoteModel,
): Promise<void> {
  const row = rowOf(remote, now());
  const known = await modelsStore.findAnywhere(tx, remote.id);
  if (known && known.path !== row.path) {
    const details = `  engines: "${remote.id}" is the id of a model that is here already`;
    throw new CorralError('config_invalid', { params: { details } });
  }
  const isSame = known?.sha256 === row.sha256 && known.context_length === row.context_length;
  if (isSame) return;
  if (known) await modelsStore.readdress(tx, row.id, row);
  else await modelsStore.insert(tx, row);
  await audit.append(tx, {
    ...auditFromSystem('settings', null),
    action: 'model.registered',
    resource: { kind: 'model', id: row.id },
    outcome: 'ok',
    before: known ? { sha256: known.sha256 } : null,
    after: { sha256: row.sha256, server: remote.base_url, model: remote.model },
  });
}

/** Throws config_invalid when an id is taken. */
export async function registerRemoteModels(
  deps: Dependencies,
  remotes: readonly RemoteModel[],
): Promise<void> {
  for (const remote of remotes)
    await deps.db.transaction().execute((tx) => register(deps, tx, remote));
}
