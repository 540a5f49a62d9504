import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDb } from '../db/create-test-db.fake.ts';
import type { Database } from '../db/database.ts';
import { createJobQueue, type JobQueue } from './queue.ts';

let database: Database;
let queue: JobQueue;
const done: string[] = [];
beforeEach(async () => {
  done.length = 0;
  database = await createTestDb();
  queue = createJobQueue({ database, onError: (error) => done.push(String(error)) });
});
afterEach(async () => {
  await queue.close();
  await database.close();
});

const enqueue = (key: string, undo = false) =>
  database.db.transaction().execute(async (tx) => {
    await queue.enqueue(tx, 'work', { key, payload: { key } });
    if (undo) throw new Error('undone');
  });
const until = async (count: number) => {
  for (let tries = 0; done.length < count && tries < 400; tries += 1) await sleep(25);
};

describe('job queue', () => {
  it('does what was committed, once for a waiting key, and nothing that was rolled back', async () => {
    queue.define({
      name: 'work',
      concurrency: 1,
      handle: async ({ key = '' }) => void done.push(key),
    });
    await queue.prepare();
    await enqueue('a');
    await enqueue('a');
    await enqueue('b', true).catch(() => undefined);
    await enqueue('c');
    await queue.start();
    await until(2);
    await sleep(600);
    expect(done.toSorted((a, b) => a.localeCompare(b))).toEqual(['a', 'c']);
  });

  it('tries again what threw', async () => {
    queue.define({
      name: 'work',
      concurrency: 1,
      handle: async () => {
        done.push('try');
        if (done.length === 1) throw new Error('not yet');
      },
    });
    await queue.prepare();
    await enqueue('a');
    await queue.start();
    await until(2);
    expect(done).toEqual(['try', 'try']);
  });

  it('aborts and awaits running work when it closes', async () => {
    queue.define({
      name: 'work',
      concurrency: 1,
      handle: async (_payload, signal) => {
        done.push('start');
        await sleep(10_000, undefined, { signal }).catch(() => undefined);
        await sleep(100);
        done.push('end');
      },
    });
    await queue.prepare();
    await enqueue('a');
    await queue.start();
    await until(1);
    await queue.close();
    expect(done).toEqual(['start', 'end']);
  });
});
