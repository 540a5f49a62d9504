// Learning rate as a pure function of the step: linear warm-up, then cosine, linear or constant.
// As transformers' get_*_schedule_with_warmup, but warm-up starts above 0: in a run of a few dozen steps
// a step at rate 0 is a step lost.
import type { scheduleNames } from '@corral/contracts';

type ScheduleName = (typeof scheduleNames)[number];

export interface ScheduleOptions {
  readonly schedule: ScheduleName;
  readonly learningRate: number;
  readonly totalSteps: number;
  /** Share of the steps that warm up; rounded up to whole steps. */
  readonly warmupRatio: number;
}

/** Factor at `progress`, the share of the steps after warm-up that is done, in [0, 1]. */
const decay: Record<ScheduleName, (progress: number) => number> = {
  cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)),
  linear: (progress) => 1 - progress,
  constant: () => 1,
};

/** The learning rate of update `step`, counted from 0. */
export const learningRateAt = (
  step: number,
  { schedule, learningRate, totalSteps, warmupRatio }: ScheduleOptions,
): number => {
  const warmup = Math.ceil(totalSteps * warmupRatio);
  if (step < warmup) return (learningRate * (step + 1)) / (warmup + 1);
  const progress = Math.min(1, (step - warmup) / Math.max(1, totalSteps - warmup));
  return learningRate * decay[schedule](progress);
};
