// How fast a run goes and how much memory it takes. Measures; decides nothing.

/** Figures follow the last steps only, so that a slow start or a busy hour does not stay in them. */
const windowSteps = 20;

export interface Throughput {
  /** Records one finished step. */
  add(step: { readonly tokens: number; readonly seconds: number }): void;
  /** Over the recent window. */
  readonly tokensPerSecond: number;
  readonly secondsPerStep: number;
}

export function createThroughput(): Throughput {
  const recent: { tokens: number; seconds: number }[] = [];
  const total = (key: 'tokens' | 'seconds') => recent.reduce((sum, step) => sum + step[key], 0);
  return {
    add: (step) => {
      recent.push(step);
      if (recent.length > windowSteps) recent.shift();
    },
    get tokensPerSecond() {
      return total('tokens') / Math.max(total('seconds'), 1e-9);
    },
    get secondsPerStep() {
      return recent.length === 0 ? 0 : total('seconds') / recent.length;
    },
  };
}

/** Bytes resident now. */
export const memoryBytes = (): number => process.memoryUsage.rss();

/** Largest resident size of this process so far (VmHWM), bytes. */
export const peakMemoryBytes = (): number => process.resourceUsage().maxRSS * 1024;

/**
 * Floating-point rate of training: forward and backward take 6 operations a parameter and token; with a
 * frozen base the weight gradients fall away and 4 are left (Kaplan et al. 2020, arXiv:2001.08361, 2.1).
 */
export const trainingGflops = (
  parameters: number,
  tokensPerSecond: number,
  frozenBase: boolean,
): number => ((frozenBase ? 4 : 6) * parameters * tokensPerSecond) / 1e9;
