// Rows of the evidence log. Knows SQL, not what a tree is.
import type { NodeId, RangeState, TreeNode } from '@corral/evidence';
import type { Selectable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type { EvidenceEntriesTable, EvidenceHeadsTable } from './evidence-tables.ts';

export type EntryRow = Selectable<EvidenceEntriesTable>;
export type HeadRow = Selectable<EvidenceHeadsTable>;

export const nodeKey = ({ level, index }: NodeId): string => `${level}/${index}`;

export const evidenceStore = {
  /** Holds the log until the transaction ends: one appends at a time. */
  lockState: (tx: Tx): Promise<RangeState> =>
    tx
      .selectFrom('evidence_state')
      .select(['size', 'hashes'])
      .forUpdate()
      .executeTakeFirstOrThrow(),

  readState: (executor: Executor): Promise<RangeState> =>
    executor.selectFrom('evidence_state').select(['size', 'hashes']).executeTakeFirstOrThrow(),

  async append(
    tx: Tx,
    change: { entry: EntryRow; nodes: readonly TreeNode[]; state: RangeState },
  ): Promise<void> {
    const { entry, nodes, state } = change;
    await tx.insertInto('evidence_entries').values(entry).execute();
    await tx
      .insertInto('evidence_nodes')
      .values(
        nodes.map(({ level, index, hash }) => ({
          level,
          index,
          hash: Buffer.from(hash).toString('base64'),
        })),
      )
      .execute();
    await tx
      .updateTable('evidence_state')
      .set({ size: state.size, hashes: JSON.stringify(state.hashes) })
      .execute();
  },

  /** Hashes by `nodeKey`. Throws when one is missing: the log is damaged. */
  async readNodes(
    executor: Executor,
    ids: readonly NodeId[],
  ): Promise<ReadonlyMap<string, Uint8Array>> {
    if (ids.length === 0) return new Map();
    const rows = await executor
      .selectFrom('evidence_nodes')
      .selectAll()
      .where((where) =>
        where.or(
          ids.map(({ level, index }) =>
            where.and([where('level', '=', level), where('index', '=', index)]),
          ),
        ),
      )
      .execute();
    return new Map(
      rows.map((row) => [nodeKey(row), new Uint8Array(Buffer.from(row.hash, 'base64'))]),
    );
  },

  /** Ascending by index. Null project: every project's. */
  listEntries(
    executor: Executor,
    page: { project: string | null; from: number; below: number; limit: number },
  ): Promise<EntryRow[]> {
    const { project, from, below, limit } = page;
    let query = executor
      .selectFrom('evidence_entries')
      .selectAll()
      .where('index', '>=', from)
      .where('index', '<', below);
    if (project !== null) query = query.where('project_id', '=', project);
    return query.orderBy('index').limit(limit).execute();
  },

  findEntry(executor: Executor, index: number, project: string | null) {
    let query = executor.selectFrom('evidence_entries').selectAll().where('index', '=', index);
    if (project !== null) query = query.where('project_id', '=', project);
    return query.executeTakeFirst();
  },

  latestHead: (executor: Executor): Promise<HeadRow | undefined> =>
    executor
      .selectFrom('evidence_heads')
      .selectAll()
      .orderBy('size', 'desc')
      .limit(1)
      .executeTakeFirst(),

  findHead: (executor: Executor, size: number, verifierKey: string): Promise<HeadRow | undefined> =>
    executor
      .selectFrom('evidence_heads')
      .selectAll()
      .where('size', '=', size)
      .where('verifier_key', '=', verifierKey)
      .executeTakeFirst(),

  async insertHead(tx: Tx, head: HeadRow): Promise<void> {
    await tx.insertInto('evidence_heads').values(head).execute();
  },
};
