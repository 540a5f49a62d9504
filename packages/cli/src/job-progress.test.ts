import type { FineTuningEvent } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { describeOperation } from './operation-progress.ts';
import { lossesOf } from './job-progress.ts';

const metrics = (data: Record<string, unknown>): FineTuningEvent => ({
  id: 'e',
  object: 'fine_tuning.job.event',
  created_at: 1,
  level: 'info',
  message: '',
  type: 'metrics',
  data,
});

describe('lossesOf', () => {
  it('takes training losses, in the order of steps, the last of a step that ran twice', () => {
    const events = [
      metrics({ step: 2, train_loss: 2 }),
      metrics({ step: 1, train_loss: 3 }),
      metrics({ step: 2, valid_loss: 9 }),
      metrics({ step: 2, train_loss: 1.5 }),
      metrics({ step: 3, train_loss: Number.NaN }),
      { ...metrics({ step: 4, train_loss: 1 }), type: 'message' as const },
    ];
    expect(lossesOf(events)).toEqual([
      { step: 1, loss: 3 },
      { step: 2, loss: 1.5 },
    ]);
  });
});

describe('describeOperation', () => {
  const of = (progress: Partial<Parameters<typeof describeOperation>[0]['progress']>) =>
    describeOperation({
      id: 'op_1',
      kind: 'model_pull',
      status: 'running',
      result: null,
      error: null,
      progress: {
        message: 'm',
        done_bytes: 0,
        total_bytes: null,
        bytes_per_second: null,
        ...progress,
      },
    });

  it('says bytes, rate and time left', () => {
    const progress = { done_bytes: 25e6, total_bytes: 100e6, bytes_per_second: 5e6 };
    expect(of(progress)).toEqual({
      text: '25.0 MB of 100 MB · 5.0 MB/s · 15 s left · m',
      fraction: 0.25,
    });
  });

  it('says what it knows when the total is unknown', () => {
    expect(of({})).toEqual({ text: 'm', fraction: null });
    expect(of({ done_bytes: 1000 })).toEqual({ text: '1.0 KB · m', fraction: null });
  });
});
