// The life of a fine-tuning job: its states, the moves between them, and every question about a state. No
// other file compares state names.
import type { FineTuningStatus } from '@corral/contracts';

/**
 * validating_files → queued → running → succeeded, with failure and cancellation from anywhere before the
 * end. `running → queued` is a run taken up again after its process died. `pausing` waits for the trainer's
 * checkpoint; a run that ends meanwhile has ended.
 */
const moves: Readonly<Record<FineTuningStatus, readonly FineTuningStatus[]>> = {
  validating_files: ['queued', 'paused', 'failed', 'cancelled'],
  queued: ['running', 'paused', 'failed', 'cancelled'],
  running: ['queued', 'pausing', 'succeeded', 'failed', 'cancelled'],
  pausing: ['paused', 'succeeded', 'failed', 'cancelled'],
  paused: ['validating_files', 'queued', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: [],
};

/** What the runner does with a job in this state; `recover`: its process is gone, it must begin again. */
type Work = 'check' | 'train' | 'recover' | 'settle-pause' | 'none';
const work: Readonly<Record<FineTuningStatus, Work>> = {
  validating_files: 'check',
  queued: 'train',
  running: 'recover',
  pausing: 'settle-pause',
  paused: 'none',
  succeeded: 'none',
  failed: 'none',
  cancelled: 'none',
};

export const canMove = (from: FineTuningStatus, to: FineTuningStatus): boolean =>
  moves[from].includes(to);
export const isFinal = (status: FineTuningStatus): boolean => moves[status].length === 0;
export const isCancellable = (status: FineTuningStatus): boolean => canMove(status, 'cancelled');
export const hasSucceeded = (status: FineTuningStatus): boolean => status === 'succeeded';
export const isResumable = (status: FineTuningStatus): boolean => status === 'paused';
/** Where a request to pause leads: at once, or through the trainer's checkpoint. Null: nowhere. */
export function pauseTarget(status: FineTuningStatus): 'paused' | 'pausing' | null {
  if (canMove(status, 'pausing')) return 'pausing';
  return canMove(status, 'paused') && !isStopping(status) ? 'paused' : null;
}
export const workFor = (status: FineTuningStatus): Work => work[status];
/** A trainer that still runs is to be stopped. */
export const isStopping = (status: FineTuningStatus): boolean =>
  status === 'pausing' || status === 'cancelled';
export const isPausing = (status: FineTuningStatus): boolean => status === 'pausing';
/** States that a runner has or will have work in. */
export const statesWithWork = (Object.keys(work) as FineTuningStatus[]).filter(
  (status) => work[status] !== 'none',
);
export const unfinishedStates = (Object.keys(moves) as FineTuningStatus[]).filter(
  (status) => !isFinal(status),
);

/** For a count of what goes on. */
export const groupOf = (status: FineTuningStatus): 'queued' | 'running' | null => groups[status];
const groups: Readonly<Record<FineTuningStatus, 'queued' | 'running' | null>> = {
  validating_files: 'queued',
  queued: 'queued',
  running: 'running',
  pausing: 'running',
  paused: null,
  succeeded: null,
  failed: null,
  cancelled: null,
};
