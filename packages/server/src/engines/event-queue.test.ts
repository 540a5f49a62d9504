// Whatever the order of pushing and reading: all values, in order, then the end that was said first.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventQueue } from './event-queue.ts';

const step = fc.constantFrom('push', 'read', 'turn', 'end', 'fail');

test('values arrive in order, and the first end counts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const queue = new EventQueue<number>();
      const pushed: number[] = [];
      const read: Promise<unknown>[] = [];
      let end: 'end' | 'fail' | null = null;
      let waiting = false;
      for (const [i, action] of steps.entries()) {
        if (action === 'turn') await Promise.resolve();
        else if (action === 'read' && !waiting) {
          // One reader: it asks again when it was answered.
          waiting = true;
          const next = queue.next().finally(() => (waiting = false));
          read.push(next.then(({ value, done }) => (done ? 'end' : value)).catch(() => 'fail'));
        } else if (action === 'push') {
          queue.push(i);
          if (end === null) pushed.push(i);
        } else if (action === 'end' || action === 'fail') {
          if (action === 'end') queue.end();
          else queue.fail(new Error('failed'));
          end ??= action;
        }
      }
      queue.end();
      end ??= 'end';
      const seen = await Promise.all(read);
      const expected = [...pushed, ...seen.map(() => end)];
      expect(seen).toEqual(expected.slice(0, seen.length));
    }),
  );
});

test('leaving a loop drops what was not read', async () => {
  const queue = new EventQueue<number>();
  queue.push(1);
  queue.push(2);
  for await (const value of queue) {
    expect(value).toBe(1);
    break;
  }
  expect(await queue.next()).toEqual({ value: undefined, done: true });
});
