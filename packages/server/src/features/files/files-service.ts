// Files of a project: content goes to the artefact store once, however often it is uploaded; a row says
// whose it is. Deleting the last row of a content deletes the content.
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { CorralError, newId } from '@corral/contracts';
import type { ArtifactStore, StagedArtifact } from '../../artifacts/artifact-store.ts';
import { auditFrom, type AuditInput, type AuditLog } from '../../audit/audit-log.ts';
import type { Db, Executor, Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { filesStore, type FilePage, type FileRow } from './files-store.ts';

interface NewFile {
  readonly project: string;
  readonly filename: string;
  readonly purpose: string;
  readonly from: Pick<AuditInput, 'actor' | 'project' | 'request_id'>;
}

/** Says why a file must stay, or null. */
type FileGuard = (tx: Tx, fileId: string) => Promise<string | null>;

export interface FilesService {
  /** Writes content aside; nothing is visible until `create`. */
  stage(source: Readable): Promise<StagedArtifact>;
  create(
    staged: StagedArtifact,
    file: NewFile,
    record?: (tx: Tx, id: string) => Promise<void>,
  ): Promise<FileRow>;
  /** Throws `not_found`. */
  get(project: string, id: string): Promise<FileRow>;
  list(page: Omit<FilePage, 'after'> & { after: string | undefined }): Promise<readonly FileRow[]>;
  content(row: FileRow): Readable;
  /** Where the content lies, for a child process to read. */
  path(row: FileRow): string;
  remove(context: RequestContext, id: string): Promise<void>;
  /** A feature that needs files for as long as it runs asks for them to be kept. */
  addGuard(guard: FileGuard): void;
}

interface Dependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  /** Of this feature alone: content of others must not be deleted with a file of the same bytes. */
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
}

export function createFilesService(deps: Dependencies): FilesService {
  const { db, artifacts, maxBytes } = deps;
  const guards: FileGuard[] = [];
  // Publishing a content and deleting the last row of the same content must not overlap.
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work, work);
    last = result.catch(() => undefined);
    return result;
  };

  return {
    stage: (source) => artifacts.stage(source, { maxBytes }),
    create: (staged, file, record) =>
      alone(async () => {
        await staged.publish();
        return db.transaction().execute(async (tx) => {
          const row = await insertFile(deps, tx, staged, file);
          await record?.(tx, row.id);
          return row;
        });
      }),
    get: (project, id) => findFile(db, project, id),
    async list({ after, ...page }) {
      const cursor =
        after === undefined ? null : (await findFile(db, page.project, after)).sequence;
      return filesStore.list(db, { ...page, after: cursor });
    },
    content: ({ sha256 }) => createReadStream(artifacts.path(sha256)),
    path: ({ sha256 }) => artifacts.path(sha256),
    remove: (context, id) =>
      alone(async () => {
        const { sha256 } = await db.transaction().execute(async (tx) => {
          const row = await findFile(tx, context.projectId, id);
          for (const guard of guards) {
            const reason = await guard(tx, id);
            if (reason !== null) throw new CorralError('conflict', { params: { reason } });
          }
          await removeRow(deps, tx, row, context);
          return row;
        });
        if (!(await filesStore.isContentUsed(db, sha256))) await artifacts.remove(sha256);
      }),
    addGuard: (guard) => void guards.push(guard),
  };
}

async function findFile(executor: Executor, project: string, id: string): Promise<FileRow> {
  const row = await filesStore.find(executor, project, id);
  if (row !== undefined) return row;
  throw new CorralError('not_found', { params: { kind: 'file', id }, param: 'file_id' });
}

async function insertFile(
  { audit }: Dependencies,
  tx: Tx,
  { bytes, sha256 }: StagedArtifact,
  { project, filename, purpose, from }: NewFile,
): Promise<FileRow> {
  const row = await filesStore.insert(tx, {
    id: newId('file'),
    project_id: project,
    filename: sanitiseFilename(filename),
    purpose,
    bytes,
    sha256,
    created_at: new Date(),
  });
  await audit.append(tx, {
    ...from,
    action: 'file.created',
    resource: { kind: 'file', id: row.id },
    outcome: 'ok',
    before: null,
    after: { purpose, bytes, sha256 },
  });
  return row;
}

async function removeRow(
  { audit }: Dependencies,
  tx: Tx,
  { id, sha256, bytes }: FileRow,
  context: RequestContext,
): Promise<void> {
  await filesStore.remove(tx, id);
  await audit.append(tx, {
    ...auditFrom(context),
    action: 'file.deleted',
    resource: { kind: 'file', id },
    outcome: 'ok',
    before: { sha256, bytes },
    after: null,
  });
}

/** Last part of a path, without control characters, at most 200 characters: a label, never a path. */
export function sanitiseFilename(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  const clean = last
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}"]/gu, '')
    .trim()
    .slice(0, 200)
    .toWellFormed();
  return clean === '' || /^\.+$/.test(clean) ? 'file' : clean;
}
