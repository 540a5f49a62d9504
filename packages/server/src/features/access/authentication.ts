// From a key to who it belongs to. Times of last use are collected and written now and then, because
// writes, not reads, size the database.
import { timingSafeEqual } from 'node:crypto';
import { CorralError, type KeyScope } from '@corral/contracts';
import type { Db } from '../../db/database.ts';
import { accessStore } from './access-store.ts';
import { hashOfKey, hintOfKey, isKey } from './key-material.ts';

const flushMilliseconds = 30_000;

/** Who a key belongs to and what it may do. */
interface Identity {
  readonly keyId: string;
  readonly projectId: string;
  readonly operator: boolean;
  readonly scopes: ReadonlySet<KeyScope>;
}

export interface Authentication {
  /** Throws `invalid_api_key` for whatever is not known, expired or revoked. */
  authenticate(key: string): Promise<Identity>;
  /** Writes the collected times of last use. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const equal = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

export function createAuthentication({ db }: { readonly db: Db }): Authentication {
  const uses = new Map<string, Date>();
  const flush = async (): Promise<void> => {
    const taken = new Map(uses);
    uses.clear();
    await accessStore.touchKeys(db, taken);
  };
  // A time that was not written is written with the next use; nothing depends on it.
  const timer = setInterval(() => void flush().catch(() => undefined), flushMilliseconds).unref();

  return {
    async authenticate(key) {
      const refuse = (): CorralError =>
        new CorralError('invalid_api_key', { params: { hint: hintOfKey(key) } });
      if (!isKey(key)) throw refuse();
      const hash = hashOfKey(key);
      const row = await accessStore.findKeyByHash(db, hash);
      if (row === undefined || !equal(row.hash, hash)) throw refuse();
      const now = new Date();
      const isExpired = row.expires_at !== null && row.expires_at <= now;
      if (row.revoked_at !== null || isExpired) throw refuse();
      uses.set(row.id, now);
      return {
        keyId: row.id,
        projectId: row.project_id,
        operator: row.operator,
        scopes: new Set(row.scopes),
      };
    },
    flush,
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}
