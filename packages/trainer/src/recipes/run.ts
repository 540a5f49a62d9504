// What every recipe is given: a resolved configuration, a place for results, a way to speak and to be
// stopped, and the two things it cannot make itself. Knows no method.
import type { RunEvent } from '@corral/contracts';
import type { ResolvedRunConfig } from '../config/resolve-config.ts';
import type { CausalLm, OpenCausalLmOptions } from '../models/causal-lm.ts';

export interface Run {
  readonly config: ResolvedRunConfig;
  /** SHA-256 of what decides the numbers. */
  readonly identity: string;
  /** Absolute. */
  readonly output: string;
  /** Aborted = pause: checkpoint, then stop. */
  readonly signal: AbortSignal;
  readonly emit: (event: RunEvent) => void;
  readonly openModel: (options: OpenCausalLmOptions) => Promise<CausalLm>;
}

/** Thrown by a recipe that was asked to pause, after its state is safe. */
export class RunPaused extends Error {
  override readonly name = 'RunPaused';
  /** Steps done. */
  readonly step: number;

  constructor(step: number) {
    super(`paused after step ${step}`);
    this.step = step;
  }
}

/** Throws RunPaused when a pause was asked for; call it where nothing needs saving. */
export function pauseIfAsked({ signal }: Pick<Run, 'signal'>, step = 0): void {
  if (signal.aborted) throw new RunPaused(step);
}

/** Reports a long phase at most four times a second, and its end always. */
export function phaseReporter(
  emit: Run['emit'],
  name: string,
): (done: number, total: number) => void {
  let last = 0;
  return (done, total) => {
    const now = performance.now();
    if (done < total && now - last < 250) return;
    last = now;
    emit({ type: 'phase', name, done, total });
  };
}
