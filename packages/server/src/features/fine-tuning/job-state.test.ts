import { fineTuningStatuses, type FineTuningStatus } from '@corral/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canMove,
  groupOf,
  isCancellable,
  isFinal,
  isResumable,
  pauseTarget,
  workFor,
} from './job-state.ts';

const anyStatus = fc.constantFrom(...fineTuningStatuses);
const next = (status: FineTuningStatus): FineTuningStatus[] =>
  fineTuningStatuses.filter((to) => canMove(status, to));

describe('job states', () => {
  it('never leave an end, and reach one from everywhere', () => {
    for (const status of fineTuningStatuses) {
      const seen = new Set<FineTuningStatus>([status]);
      for (const at of seen) for (const to of next(at)) seen.add(to);
      expect([...seen].some(isFinal)).toBe(true);
      expect(seen.size === 1).toBe(isFinal(status));
    }
  });

  it('along any walk: what can be cancelled is not final, what is paused has no work and resumes', () => {
    fc.assert(
      fc.property(fc.array(anyStatus, { maxLength: 30 }), (wishes) => {
        let status: FineTuningStatus = 'validating_files';
        for (const wish of wishes) if (canMove(status, wish)) status = wish;
        expect(isCancellable(status)).toBe(!isFinal(status));
        const idle = workFor(status) === 'none' && pauseTarget(status) === null;
        expect(idle).toBe(isFinal(status) || isResumable(status));
        expect(groupOf(status) === null).toBe(idle);
        const target = pauseTarget(status);
        expect(target === null || canMove(status, target)).toBe(true);
      }),
    );
  });

  it('succeed only out of a run', () => {
    expect(fineTuningStatuses.filter((from) => canMove(from, 'succeeded'))).toEqual([
      'running',
      'pausing',
    ]);
  });
});
