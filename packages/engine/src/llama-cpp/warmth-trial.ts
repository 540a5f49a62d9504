// Does warming weights pay for a decode of so many tokens? Found out while serving: the first decodes of each
// size go both ways in turn, then the faster way is taken, and now and then the other is tried again. Pure.

export interface WarmthTrial {
  /** True: warm the weights of the next decode of `tokens`. */
  choose(tokens: number): boolean;
  /** It took `ms`. */
  record(tokens: number, warm: boolean, ms: number): void;
}

/** A product of one row reads weights in order by itself; one of many computes longer than it reads. */
const fewest = 2;
const most = 40;
/** Decodes of each kind before one is preferred. */
const firstTries = 2;
/** One decode in so many goes the other way. */
const again = 64;
/** Weight of the last time. */
const weight = 0.3;

interface Way {
  ms: number;
  tries: number;
}
interface Size {
  readonly warm: Way;
  readonly cold: Way;
  decodes: number;
}

function note(way: Way, ms: number): void {
  // What disturbs a decode makes it longer: a shorter time says more.
  way.ms = way.tries === 0 || ms < way.ms ? ms : way.ms + weight * (ms - way.ms);
  way.tries++;
}

export function createWarmthTrial(): WarmthTrial {
  const sizes = new Map<number, Size>();
  return {
    choose: (tokens) => {
      if (tokens < fewest || tokens > most) return false;
      const size = sizes.get(tokens);
      if (!size) return true;
      const { warm, cold, decodes } = size;
      if (Math.min(warm.tries, cold.tries) < firstTries) return warm.tries <= cold.tries;
      const better = warm.ms <= cold.ms;
      return decodes % again === 0 ? !better : better;
    },
    record: (tokens, warm, ms) => {
      if (tokens < fewest || tokens > most) return;
      const size = sizes.get(tokens) ?? {
        warm: { ms: 0, tries: 0 },
        cold: { ms: 0, tries: 0 },
        decodes: 0,
      };
      sizes.set(tokens, size);
      size.decodes++;
      note(warm ? size.warm : size.cold, ms);
    },
  };
}
