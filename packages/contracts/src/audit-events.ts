// The envelope of an audit event: what the evidence log commits to. Each server feature declares its
// own actions; field names here are never changed or retyped, because old leaves must verify for ever.
import { z } from 'zod';

export const auditEventSchema = z.object({
  schema: z.literal('corral-audit/1'),
  /** RFC 3339, UTC, milliseconds. */
  time: z.string(),
  /** `feature.verb`, for example `fine_tuning_job.created`. */
  action: z.string().regex(/^[a-z_]+\.[a-z_]+$/),
  actor: z.object({ kind: z.enum(['key', 'system']), id: z.string() }),
  project: z.string().nullable(),
  resource: z.object({ kind: z.string(), id: z.string() }),
  outcome: z.enum(['ok', 'refused', 'failed']),
  request_id: z.string().nullable(),
  /** State before and after, digests and figures; commitments only, never customers' text. */
  before: z.record(z.string(), z.unknown()).nullable(),
  after: z.record(z.string(), z.unknown()).nullable(),
});
export type AuditEvent = z.infer<typeof auditEventSchema>;
