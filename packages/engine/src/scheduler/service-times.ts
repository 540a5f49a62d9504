// How long requests take, to tell those who are refused when to come again. Knows only times.

/** Weight of the last request in the mean. */
const weight = 0.1;
/** Before anything is known, and the least that is said: clients should not hammer. */
const leastSeconds = 1;
const mostSeconds = 600;

export interface ServiceTimes {
  /** A request held its place for so long. */
  record(ms: number): void;
  /** Whole seconds until the last of `waiting` requests gets one of `places`. */
  secondsUntilFree(waiting: number, places: number): number;
}

export function createServiceTimes(): ServiceTimes {
  let meanMs = 0;
  return {
    record: (ms) => {
      meanMs = meanMs === 0 ? ms : meanMs + (ms - meanMs) * weight;
    },
    secondsUntilFree: (waiting, places) => {
      const seconds = (meanMs / 1000) * ((waiting + 1) / places);
      return Math.min(mostSeconds, Math.max(leastSeconds, Math.ceil(seconds)));
    },
  };
}
