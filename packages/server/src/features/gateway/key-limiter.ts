// How many generations one key may have waiting or running: one careless loop must not take the queue
// that others wait in.
import { CorralError } from '@corral/contracts';

export interface KeyLimiter {
  /** Takes one place and returns what gives it back; throws rate_limit_exceeded when there is none. */
  take(key: string): () => void;
}

export function createKeyLimiter(limit: number): KeyLimiter {
  const taken = new Map<string, number>();
  return {
    take(key) {
      const count = taken.get(key) ?? 0;
      if (count >= limit) {
        const reason = `this key has ${count} generations waiting or running, which is its limit.`;
        throw new CorralError('rate_limit_exceeded', { params: { reason } });
      }
      taken.set(key, count + 1);
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        const left = (taken.get(key) ?? 1) - 1;
        if (left > 0) taken.set(key, left);
        else taken.delete(key);
      };
    },
  };
}
