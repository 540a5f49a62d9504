// Projects and API keys: who may ask, and for whom. A key is 32 random bytes shown once; only its SHA-256
// is kept. Knows neither HTTP nor SQL.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { CorralError, keyScopes, newId, type KeyScope } from '@corral/contracts';
import { auditFrom, auditFromSystem, type AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { accessStore, type ApiKeyRow, type ProjectRow } from './access-store.ts';

const keyPrefix = 'sk-corral-';
/** Prefix and 32 bytes in base64url. */
const keyPattern = /^sk-corral-[\w-]{43}$/;
const flushMilliseconds = 30_000;

/** Who a key belongs to and what it may do. */
interface Identity {
  readonly keyId: string;
  readonly projectId: string;
  readonly operator: boolean;
  readonly scopes: ReadonlySet<KeyScope>;
}

interface CreatedKey {
  readonly row: ApiKeyRow;
  /** The only time that the key itself exists outside the caller. */
  readonly secret: string;
}

export interface AccessService {
  /** Throws `invalid_api_key` for whatever is not known, expired or revoked. */
  authenticate(key: string): Promise<Identity>;
  createKey(
    context: RequestContext,
    input: { name: string; scopes: readonly KeyScope[]; project?: string; expiresAt: Date | null },
  ): Promise<CreatedKey>;
  listKeys(context: RequestContext): Promise<readonly ApiKeyRow[]>;
  revokeKey(context: RequestContext, id: string): Promise<ApiKeyRow>;
  createProject(context: RequestContext, name: string): Promise<ProjectRow>;
  listProjects(context: RequestContext): Promise<readonly ProjectRow[]>;
  /** The word that stands for a project in names of models. */
  projectName(id: string): Promise<string>;
  /** First start: the default project and its admin key; null when they exist. */
  bootstrap(): Promise<string | null>;
  /** A further admin key of the operator's project, for a lost credentials.json. */
  issueOperatorKey(): Promise<string>;
  /** Writes the collected times of last use. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const digest = (key: string): string => createHash('sha256').update(key).digest('hex');
const hintOf = (key: string): string => `${keyPrefix}…${key.slice(-4)}`;
const equal = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

export function createAccessService(deps: {
  db: Db;
  audit: AuditLog;
  now?: () => Date;
}): AccessService {
  const { db, audit, now = () => new Date() } = deps;
  const uses = new Map<string, Date>();

  const flush = async (): Promise<void> => {
    const taken = new Map(uses);
    uses.clear();
    await accessStore.touchKeys(db, taken);
  };
  // A failed write of a time of last use is tried again with the next one; nothing depends on it.
  const timer = setInterval(() => void flush().catch(() => undefined), flushMilliseconds).unref();

  const makeKey = async (options: {
    project: string;
    name: string;
    scopes: readonly KeyScope[];
    expiresAt: Date | null;
    from: ReturnType<typeof auditFrom>;
  }): Promise<CreatedKey> => {
    const { project, name, scopes, expiresAt, from } = options;
    const secret = keyPrefix + randomBytes(32).toString('base64url');
    const id = newId('key');
    const row: ApiKeyRow = {
      id,
      project_id: project,
      name,
      hash: digest(secret),
      hint: hintOf(secret),
      scopes: [...scopes],
      created_at: now(),
      expires_at: expiresAt,
      revoked_at: null,
      last_used_at: null,
    };
    await db.transaction().execute(async (tx) => {
      await accessStore.insertKey(tx, row);
      await audit.append(tx, {
        ...from,
        action: 'api_key.created',
        resource: { kind: 'api_key', id },
        outcome: 'ok',
        before: null,
        after: { project, scopes: [...scopes], expires_at: expiresAt?.toISOString() ?? null },
      });
    });
    return { row, secret };
  };

  /** Null: every project. Only admins of the operator's project look beyond their own. */
  const reach = ({ operator, scopes, projectId }: RequestContext): string | null =>
    operator && scopes.has('admin') ? null : projectId;

  const targetProject = async (context: RequestContext, wanted?: string): Promise<string> => {
    if (wanted === undefined) return context.projectId;
    const project = await accessStore.findProject(db, wanted);
    const limit = reach(context);
    if (project === undefined || (limit !== null && project.id !== limit))
      throw notFound('project', wanted);
    return project.id;
  };

  return {
    async authenticate(key) {
      const refuse = (): CorralError =>
        new CorralError('invalid_api_key', { params: { hint: hintOf(key) } });
      if (!keyPattern.test(key)) throw refuse();
      const hash = digest(key);
      const row = await accessStore.findKeyByHash(db, hash);
      if (row === undefined || !equal(row.hash, hash)) throw refuse();
      const at = now();
      if (row.revoked_at !== null || (row.expires_at !== null && row.expires_at <= at))
        throw refuse();
      uses.set(row.id, at);
      return {
        keyId: row.id,
        projectId: row.project_id,
        operator: row.operator,
        scopes: new Set(row.scopes),
      };
    },
    async createKey(context, { name, scopes, project, expiresAt }) {
      const target = await targetProject(context, project);
      return makeKey({ project: target, name, scopes, expiresAt, from: auditFrom(context) });
    },
    listKeys: async (context) => accessStore.listKeys(db, reach(context)),
    async revokeKey(context, id) {
      const limit = reach(context);
      return db.transaction().execute(async (tx) => {
        const row = await accessStore.findKey(tx, id, limit);
        if (row === undefined) throw notFound('API key', id);
        if (row.revoked_at !== null) return row;
        const at = now();
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
      });
    },
    async createProject(context, name) {
      if (reach(context) !== null)
        throw new CorralError('permission_denied', { params: { scope: 'admin of the operator' } });
      return db.transaction().execute(async (tx) => {
        if ((await accessStore.findProject(tx, name)) !== undefined)
          throw new CorralError('conflict', {
            params: { reason: `There is already a project "${name}".` },
            param: 'name',
          });
        const row = { id: newId('project'), name, operator: false, created_at: now() };
        await accessStore.insertProject(tx, row);
        await audit.append(tx, {
          ...auditFrom(context),
          action: 'project.created',
          resource: { kind: 'project', id: row.id },
          outcome: 'ok',
          before: null,
          after: { name },
        });
        return row;
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
    async bootstrap() {
      const created = await db.transaction().execute(async (tx) => {
        if ((await accessStore.listProjects(tx)).length > 0) return null;
        const row = { id: newId('project'), name: 'default', operator: true, created_at: now() };
        await accessStore.insertProject(tx, row);
        await audit.append(tx, {
          ...auditFromSystem('bootstrap', row.id),
          action: 'project.created',
          resource: { kind: 'project', id: row.id },
          outcome: 'ok',
          before: null,
          after: { name: row.name, operator: true },
        });
        return row.id;
      });
      return created === null ? null : this.issueOperatorKey();
    },
    async issueOperatorKey() {
      const project = (await accessStore.listProjects(db)).find(({ operator }) => operator);
      if (project === undefined) throw new Error('The operator project is missing.');
      const { secret } = await makeKey({
        project: project.id,
        name: 'admin',
        scopes: keyScopes,
        expiresAt: null,
        from: auditFromSystem('bootstrap', project.id),
      });
      return secret;
    },
    flush,
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}

const notFound = (kind: string, id: string): CorralError =>
  new CorralError('not_found', { params: { kind, id } });
