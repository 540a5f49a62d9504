// Turns of the many answers of one request: a request for a hundred answers must not fill the queue that
// others wait in, nor fail because it would. First come, first served.
export interface Turns {
  /** Waits for a turn; what it resolves with gives the turn to the next. */
  take(): Promise<() => void>;
}

/** At most `limit` turns at a time. */
export function createTurns(limit: number): Turns {
  let free = limit;
  const waiting: (() => void)[] = [];
  const giveBack = (): (() => void) => {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    };
  };
  return {
    take() {
      if (free > 0) {
        free -= 1;
        return Promise.resolve(giveBack());
      }
      return new Promise((resolve) => waiting.push(() => resolve(giveBack())));
    },
  };
}
