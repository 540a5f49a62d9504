// Projects and API keys: who may ask, and for whom. A key is 32 random bytes shown once; only its SHA-256
// is kept. Knows neither HTTP nor SQL.
import { CorralError, keyScopes, newId, type KeyScope } from '@corral/contracts';
import {
  auditFrom,
  auditFromSystem,
  type AuditInput,
  type AuditLog,
} from '../../audit/audit-log.ts';
import type { Db, Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { accessStore, type ApiKeyRow, type ProjectRow } from './access-store.ts';
import { createAuthentication, type Authentication } from './authentication.ts';
import { newKey } from './key-material.ts';

interface NewKey {
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  readonly project?: string;
  readonly expiresAt: Date | null;
}

interface CreatedKey {
  readonly row: ApiKeyRow;
  /** The only time that the key itself exists outside the caller. */
  readonly secret: string;
}

interface Keys {
  createKey(context: RequestContext, input: NewKey): Promise<CreatedKey>;
  listKeys(context: RequestContext): Promise<readonly ApiKeyRow[]>;
  revokeKey(context: RequestContext, id: string): Promise<ApiKeyRow>;
}

interface Projects {
  createProject(context: RequestContext, name: string): Promise<ProjectRow>;
  listProjects(context: RequestContext): Promise<readonly ProjectRow[]>;
  /** The word that stands for a project in names of models. */
  projectName(id: string): Promise<string>;
}

interface Bootstrap {
  /** First start: the default project and its admin key; null when they exist. */
  bootstrap(): Promise<string | null>;
  /** A further admin key of the operator's project, for a lost credentials.json. */
  issueOperatorKey(): Promise<string>;
}

export interface AccessService extends Authentication, Keys, Projects, Bootstrap {}

interface Dependencies {
  readonly db: Db;
  readonly audit: AuditLog;
}

export const createAccessService = (deps: Dependencies): AccessService => ({
  ...createAuthentication(deps),
  ...keysOf(deps),
  ...projectsOf(deps),
  ...bootstrapOf(deps),
});

const notFound = (kind: string, id: string): CorralError =>
  new CorralError('not_found', { params: { kind, id } });

/** Null: every project. Only admins of the operator's project look beyond their own. */
const reach = ({ operator, scopes, projectId }: RequestContext): string | null =>
  operator && scopes.has('admin') ? null : projectId;

type Source = Pick<AuditInput, 'actor' | 'project' | 'request_id'>;

async function issueKey(
  { db, audit }: Dependencies,
  { project, name, scopes, expiresAt }: NewKey & { readonly project: string },
  from: Source,
): Promise<CreatedKey> {
  const { secret, hash, hint } = newKey();
  const row: ApiKeyRow = {
    id: newId('key'),
    project_id: project,
    name,
    hash,
    hint,
    scopes: [...scopes],
    created_at: new Date(),
    expires_at: expiresAt,
    revoked_at: null,
    last_used_at: null,
  };
  await db.transaction().execute(async (tx) => {
    await accessStore.insertKey(tx, row);
    await audit.append(tx, {
      ...from,
      action: 'api_key.created',
      resource: { kind: 'api_key', id: row.id },
      outcome: 'ok',
      before: null,
      after: { project, scopes: [...scopes], expires_at: expiresAt?.toISOString() ?? null },
    });
  });
  return { row, secret };
}

function keysOf(deps: Dependencies): Keys {
  const { db, audit } = deps;
  const targetProject = async (context: RequestContext, wanted?: string): Promise<string> => {
    if (wanted === undefined) return context.projectId;
    const project = await accessStore.findProject(db, wanted);
    const limit = reach(context);
    if (project === undefined || (limit !== null && project.id !== limit))
      throw notFound('project', wanted);
    return project.id;
  };
  return {
    async createKey(context, input) {
      const project = await targetProject(context, input.project);
      return issueKey(deps, { ...input, project }, auditFrom(context));
    },
    listKeys: (context) => accessStore.listKeys(db, reach(context)),
    revokeKey: (context, id) =>
      db.transaction().execute(async (tx) => {
        const row = await accessStore.findKey(tx, id, reach(context));
        if (row === undefined) throw notFound('API key', id);
        if (row.revoked_at !== null) return row;
        const at = new Date();
        await accessStore.revokeKey(tx, id, at);
        await audit.append(tx, {
          ...auditFrom(context),
          action: 'api_key.revoked',
          resource: { kind: 'api_key', id },
          outcome: 'ok',
          before: { revoked_at: null },
          after: { revoked_at: at.toISOString() },
        });
        return { ...row, revoked_at: at };
      }),
  };
}

async function insertProject(
  { audit }: Dependencies,
  tx: Tx,
  project: { name: string; operator: boolean; from: (id: string) => Source },
): Promise<ProjectRow> {
  const { name, operator, from } = project;
  const row = { id: newId('project'), name, operator, created_at: new Date() };
  await accessStore.insertProject(tx, row);
  await audit.append(tx, {
    ...from(row.id),
    action: 'project.created',
    resource: { kind: 'project', id: row.id },
    outcome: 'ok',
    before: null,
    after: { name, operator },
  });
  return row;
}

function projectsOf(deps: Dependencies): Projects {
  const { db } = deps;
  return {
    async createProject(context, name) {
      if (reach(context) !== null)
        throw new CorralError('permission_denied', { params: { scope: 'admin of the operator' } });
      return db.transaction().execute(async (tx) => {
        if ((await accessStore.findProject(tx, name)) !== undefined)
          throw new CorralError('conflict', {
            params: { reason: `There is already a project "${name}".` },
            param: 'name',
          });
        return insertProject(deps, tx, { name, operator: false, from: () => auditFrom(context) });
      });
    },
    async listProjects(context) {
      const limit = reach(context);
      const rows = await accessStore.listProjects(db);
      return limit === null ? rows : rows.filter(({ id }) => id === limit);
    },
    async projectName(id) {
      const project = await accessStore.findProject(db, id);
      if (project === undefined) throw notFound('project', id);
      return project.name;
    },
  };
}

function bootstrapOf(deps: Dependencies): Bootstrap {
  const { db } = deps;
  const issueOperatorKey = async (): Promise<string> => {
    const project = (await accessStore.listProjects(db)).find(({ operator }) => operator);
    if (project === undefined) throw new Error('The operator project is missing.');
    const { secret } = await issueKey(
      deps,
      { project: project.id, name: 'admin', scopes: keyScopes, expiresAt: null },
      auditFromSystem('bootstrap', project.id),
    );
    return secret;
  };
  return {
    issueOperatorKey,
    async bootstrap() {
      const isFirst = await db.transaction().execute(async (tx) => {
        if ((await accessStore.listProjects(tx)).length > 0) return false;
        const from = (id: string): Source => auditFromSystem('bootstrap', id);
        await insertProject(deps, tx, { name: 'default', operator: true, from });
        return true;
      });
      return isFirst ? issueOperatorKey() : null;
    },
  };
}
