// However long each takes, never more than the limit run, all come to an end, and in their order.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTurns } from './turns.ts';

test('no more than the limit at a time, everyone once, in order', async () => {
  const lengths = fc.array(fc.nat({ max: 5 }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), lengths, async (limit, all) => {
      const turns = createTurns(limit);
      let running = 0;
      let most = 0;
      const begun: number[] = [];
      await Promise.all(
        all.map(async (length, i) => {
          const leave = await turns.take();
          begun.push(i);
          running += 1;
          most = Math.max(most, running);
          for (let step = 0; step < length; step++) await Promise.resolve();
          running -= 1;
          leave();
          leave(); // Once is enough.
        }),
      );
      expect(most).toBeLessThanOrEqual(limit);
      expect(begun).toEqual(all.map((_, i) => i));
    }),
  );
});
