// The evidence log: an RFC 6962 tree over audit events, appended to inside the transaction of the change
// that an event records. A head is signed only when it extends the last signed one; a log that does not is
// damaged, and says so instead of being signed over.
import {
  CorralError,
  auditEventSchema,
  type EvidenceBundle,
  type EvidenceHead,
  type EvidenceProof,
} from '@corral/contracts';
import {
  CompactRange,
  assembleProof,
  canonicalJson,
  consistencyPlan,
  inclusionPlan,
  leafHash,
  signCheckpoint,
  verifyConsistency,
  type CheckpointSigner,
  type ProofPlan,
} from '@corral/evidence';
import type { AuditInput, AuditLog } from '../../audit/audit-log.ts';
import type { Db, Executor, Tx } from '../../db/database.ts';
import { evidenceStore, nodeKey, type EntryRow, type HeadRow } from './evidence-store.ts';

/** Entries read at a time when a whole log is exported. */
const exportPage = 1000;

export interface EvidenceService extends AuditLog {
  /** The signed head over everything committed so far. Throws `evidence_invalid`. */
  head(): Promise<EvidenceHead>;
  size(): Promise<number>;
  /** Entries from an index on, ascending; null project: all. */
  list(options: {
    project: string | null;
    from: number;
    limit: number;
  }): Promise<readonly EntryRow[]>;
  /** Inclusion proof against the current head. Throws `not_found`. */
  prove(index: number, project: string | null): Promise<EvidenceProof>;
  /** The whole log as of now; its leaves are read as they are asked for, a page at a time. */
  export(): Promise<EvidenceExport>;
}

export type EvidenceExport = Omit<EvidenceBundle, 'leaves'> & {
  readonly leaves: AsyncIterable<readonly string[]>;
};

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

export function createEvidenceService(deps: {
  db: Db;
  signer: CheckpointSigner;
  now?: () => Date;
}): EvidenceService {
  const { db, signer, now = () => new Date() } = deps;
  const signHead = (tx: Tx): Promise<HeadRow> => signedHead(tx, signer, now());
  const currentHead = (): Promise<HeadRow> => db.transaction().execute(signHead);

  return {
    append: (tx, event) => appendLeaf(tx, event, now()),
    async head() {
      const { size, root, checkpoint, verifier_key } = await currentHead();
      return { size, root, checkpoint, verifier_key };
    },
    size: async () => (await evidenceStore.readState(db)).size,
    list: ({ project, from, limit }) =>
      evidenceStore.listEntries(db, { project, from, below: Number.MAX_SAFE_INTEGER, limit }),
    prove: (index, project) =>
      db.transaction().execute(async (tx) => {
        const entry = await evidenceStore.findEntry(tx, index, project);
        if (entry === undefined)
          throw new CorralError('not_found', { params: { kind: 'evidence entry', id: index } });
        const head = await signHead(tx);
        const proof = await proofOf(tx, inclusionPlan(index, head.size));
        return {
          schema: 'corral-proof/1' as const,
          index,
          leaf: entry.leaf,
          proof: proof.map((hash) => base64(hash)),
          checkpoint: head.checkpoint,
          verifier_key: head.verifier_key,
        };
      }),
    async export() {
      const { size, checkpoint, verifier_key } = await currentHead();
      return {
        schema: 'corral-evidence/1',
        leaves: leavesOf(db, size),
        checkpoint,
        verifier_key,
      };
    },
  };
}

async function* leavesOf(db: Db, size: number): AsyncGenerator<readonly string[]> {
  let from = 0;
  while (from < size) {
    const page = await evidenceStore.listEntries(db, {
      project: null,
      from,
      below: size,
      limit: exportPage,
    });
    if (page.length === 0) throw damaged(`entry ${from} is missing`);
    yield page.map(({ leaf }) => leaf);
    from += page.length;
  }
}

async function appendLeaf(tx: Tx, event: AuditInput, time: Date): Promise<void> {
  const leaf = canonicalJson(
    auditEventSchema.parse({ schema: 'corral-audit/1', time: time.toISOString(), ...event }),
  );
  const range = CompactRange.restore(await evidenceStore.lockState(tx));
  const index = range.size;
  const nodes = range.append(leafHash(new TextEncoder().encode(leaf)));
  await evidenceStore.append(tx, {
    entry: { index, leaf, project_id: event.project, created_at: time },
    nodes,
    state: range.state(),
  });
}

const damaged = (reason: string): CorralError =>
  new CorralError('evidence_invalid', { params: { reason } });

async function signedHead(tx: Tx, signer: CheckpointSigner, time: Date): Promise<HeadRow> {
  // Locked, so that two readers do not sign the same size twice.
  const range = CompactRange.restore(await evidenceStore.lockState(tx));
  const root = range.root();
  const head: HeadRow = {
    size: range.size,
    root: base64(root),
    checkpoint: '',
    verifier_key: signer.verifierKey,
    created_at: time,
  };
  await assertExtends(tx, head);
  const found = await evidenceStore.findHead(tx, head.size, head.verifier_key);
  if (found !== undefined) return found;
  const signed = { ...head, checkpoint: signCheckpoint({ size: range.size, root }, signer) };
  await evidenceStore.insertHead(tx, signed);
  return signed;
}

/** The rule that makes the log worth something: never sign a head that rewrites an earlier one. */
async function assertExtends(tx: Tx, head: HeadRow): Promise<void> {
  const last = await evidenceStore.latestHead(tx);
  if (last === undefined) return;
  if (last.size > head.size)
    throw damaged(`a head of ${last.size} entries was signed, the log has ${head.size}`);
  const consistent =
    last.size === head.size
      ? last.root === head.root
      : last.size === 0 ||
        verifyConsistency({
          first: last.size,
          firstRoot: bytesOf(last.root),
          second: head.size,
          secondRoot: bytesOf(head.root),
          proof: await proofOf(tx, consistencyPlan(last.size, head.size)),
        });
  if (!consistent) throw damaged(`the log does not extend the head of ${last.size} entries`);
}

async function proofOf(executor: Executor, plan: ProofPlan): Promise<Uint8Array[]> {
  const nodes = await evidenceStore.readNodes(executor, plan.flat());
  return assembleProof(plan, (id) => {
    const hash = nodes.get(nodeKey(id));
    if (hash === undefined) throw damaged(`tree node ${nodeKey(id)} is missing`);
    return hash;
  });
}
