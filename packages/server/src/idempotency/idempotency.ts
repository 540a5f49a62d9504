// The header Idempotency-Key: a POST repeated with the same key makes nothing twice. The key is recorded in
// the transaction that makes the resource, so there is no moment at which one exists without the other.
import { createHash } from 'node:crypto';
import { CorralError } from '@corral/contracts';
import type { FastifyRequest } from 'fastify';
import type { Insertable } from 'kysely';
import type { Db, Tx } from '../db/database.ts';
import { contextOf } from '../http/request-context.ts';
import type { IdempotencyKeysTable } from './idempotency-tables.ts';

/** Hours for which a repetition is recognised. */
const keptHours = 24;
const sane = /^[\x21-\x7e]{1,255}$/;

interface OnceSteps<T> {
  /** What was asked for: JSON. Two requests with the same key must agree in it. */
  readonly fingerprint: unknown;
  /** Answers from the resource that the first request made. */
  readonly load: (resourceId: string) => Promise<T>;
  /** Makes the resource; calls `record` in the same transaction. */
  readonly create: (record: (tx: Tx, resourceId: string) => Promise<void>) => Promise<T>;
}

export interface Idempotency {
  /** Runs `create` once for a key, `load` for repetitions. Without the header: always `create`. */
  once<T>(request: FastifyRequest, steps: OnceSteps<T>): Promise<T>;
  /** Forgets keys older than a day. */
  sweep(): Promise<void>;
}

class AlreadyRecorded extends Error {}

export function createIdempotency({
  db,
  now = () => new Date(),
}: {
  db: Db;
  now?: () => Date;
}): Idempotency {
  const find = (project: string, route: string, key: string) =>
    db
      .selectFrom('idempotency_keys')
      .select(['fingerprint', 'resource_id'])
      .where('project_id', '=', project)
      .where('route', '=', route)
      .where('key', '=', key)
      .executeTakeFirst();

  return {
    async once(request, { fingerprint: asked, load, create }) {
      const key = keyOf(request);
      if (key === null) return create(async () => undefined);
      const { projectId } = contextOf(request);
      const route = `${request.method} ${request.routeOptions.url ?? ''}`;
      const fingerprint = createHash('sha256').update(JSON.stringify(asked)).digest('hex');
      const repeat = async () => {
        const found = await find(projectId, route, key);
        if (found === undefined) return null;
        if (found.fingerprint !== fingerprint)
          throw new CorralError('conflict', {
            params: { reason: `The Idempotency-Key "${key}" was used for a different request.` },
          });
        return { value: await load(found.resource_id) };
      };
      const before = await repeat();
      if (before !== null) return before.value;
      try {
        return await create((tx, resource_id) =>
          record(tx, {
            project_id: projectId,
            route,
            key,
            fingerprint,
            resource_id,
            created_at: now(),
          }),
        );
      } catch (error) {
        if (!(error instanceof AlreadyRecorded)) throw error;
        const after = await repeat();
        if (after === null) throw error;
        return after.value;
      }
    },
    async sweep() {
      const limit = new Date(now().getTime() - keptHours * 3600_000);
      await db.deleteFrom('idempotency_keys').where('created_at', '<', limit).execute();
    },
  };
}

async function record(tx: Tx, row: Insertable<IdempotencyKeysTable>): Promise<void> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('idempotency_keys')
    .values(row)
    // Waits for a request with the same key that is in flight.
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (numInsertedOrUpdatedRows === 0n) throw new AlreadyRecorded();
}

function keyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && sane.test(key)) return key;
  throw new CorralError('invalid_request', {
    params: { reason: 'The header Idempotency-Key must be 1 to 255 printable characters.' },
  });
}
