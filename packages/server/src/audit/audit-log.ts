// How a change is put on record: in the same transaction as the change, never after it. Knows the
// envelope of an event and who asked; not where the log lives (the evidence feature implements it).
import type { AuditEvent } from '@corral/contracts';
import type { Tx } from '../db/database.ts';
import type { RequestContext } from '../http/request-context.ts';

/** What a feature says; the log adds schema and time. */
export type AuditInput = Omit<AuditEvent, 'schema' | 'time'>;

export interface AuditLog {
  /** Appends one leaf inside the caller's transaction: it exists if and only if the change does. */
  append(tx: Tx, event: AuditInput): Promise<void>;
}

/** Actor, project and request id of an event caused by a request. */
export const auditFrom = (
  context: RequestContext,
): Pick<AuditInput, 'actor' | 'project' | 'request_id'> => ({
  actor: { ...context.actor },
  project: context.projectId,
  request_id: context.requestId,
});

/** The same for what Corral does by itself. */
export const auditFromSystem = (
  part: string,
  project: string | null,
): Pick<AuditInput, 'actor' | 'project' | 'request_id'> => ({
  actor: { kind: 'system', id: part },
  project,
  request_id: null,
});
