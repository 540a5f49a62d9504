// What one word of a trainer means for the job: figures, lines for the user, checkpoints. Pure.
import type { JobFigures, RunEvent } from '@corral/contracts';
import type { JobChange } from './fine-tuning-store.ts';

export interface EventLine {
  readonly level: 'info' | 'warn';
  readonly type: 'message' | 'metrics';
  readonly message: string;
  readonly data: object;
}
export interface CheckpointNews {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** What is known of a run so far. */
export interface RunKnowledge {
  readonly figures: JobFigures;
  readonly phase: string;
  /** Latest of each, for the next checkpoint. */
  readonly metrics: Readonly<Record<string, number>>;
}

export interface News {
  readonly known: RunKnowledge;
  readonly change: JobChange;
  readonly lines: readonly EventLine[];
  readonly checkpoint: CheckpointNews | null;
}

export const noFigures: JobFigures = {
  step: 0,
  total_steps: 0,
  loss: null,
  tokens: 0,
  tokens_per_second: 0,
  seconds_left: null,
  memory_bytes: 0,
  peak_memory_bytes: null,
  gflops: null,
  loss_before: null,
  loss_after: null,
};

type EventOf<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>;
type Interpreter<T extends RunEvent['type']> = (
  event: EventOf<T>,
  known: RunKnowledge,
) => Partial<Omit<News, 'known'>> & {
  readonly figures?: Partial<JobFigures>;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly phase?: string;
};

const info = (message: string, data: object): EventLine => ({
  level: 'info',
  type: 'message',
  message,
  data,
});
const metrics = (message: string, data: object): EventLine => ({
  level: 'info',
  type: 'metrics',
  message,
  data,
});
const dataOf = ({ type: _type, ...data }: RunEvent): object => data;

/** Of preference pairs, under the names of the part they were measured on; {} for other methods. */
const rewardsOf = (
  part: 'train' | 'valid',
  { reward_accuracy, reward_margin }: EventOf<'step'> | EventOf<'validation'>,
): Record<string, number> => ({
  ...(reward_accuracy !== undefined && { [`${part}_reward_accuracy`]: reward_accuracy }),
  ...(reward_margin !== undefined && { [`${part}_reward_margin`]: reward_margin }),
});

/** The newest of them, whichever part they were measured on. */
const latestRewards = ({
  reward_accuracy,
  reward_margin,
}: EventOf<'step'> | EventOf<'validation'>) => ({
  ...(reward_accuracy !== undefined && { reward_accuracy }),
  ...(reward_margin !== undefined && { reward_margin }),
});

const interpreters: { readonly [T in RunEvent['type']]: Interpreter<T> } = {
  started: (event) => ({
    figures: { total_steps: event.total_steps },
    lines: [
      info(
        event.resumed_from_step === null
          ? `Training started: ${event.examples} examples, ${event.total_steps} steps`
          : `Training resumed from step ${event.resumed_from_step} of ${event.total_steps}`,
        dataOf(event),
      ),
    ],
  }),
  phase: (event, known) => ({
    phase: event.name,
    figures: { phase: { name: event.name, done: event.done, total: event.total } },
    lines: event.name === known.phase ? [] : [info(`Phase: ${event.name}`, dataOf(event))],
  }),
  step: (event, { figures }) => ({
    figures: {
      step: event.step,
      loss: event.loss,
      tokens: event.tokens,
      tokens_per_second: event.tokens_per_second,
      seconds_left: event.seconds_left,
      memory_bytes: event.memory_bytes,
      peak_memory_bytes: Math.max(figures.peak_memory_bytes ?? 0, event.memory_bytes),
      ...latestRewards(event),
    },
    metrics: {
      step: event.step,
      train_loss: event.loss,
      train_mean_token_accuracy: event.token_accuracy,
      ...rewardsOf('train', event),
    },
    change: { estimated_finish: new Date(Date.now() + event.seconds_left * 1000) },
    lines: [
      metrics(`Step ${event.step}/${figures.total_steps}: training loss=${event.loss.toFixed(4)}`, {
        ...dataOf(event),
        total_steps: figures.total_steps,
        train_loss: event.loss,
        train_mean_token_accuracy: event.token_accuracy,
        ...rewardsOf('train', event),
      }),
    ],
  }),
  validation: (event) => {
    const measured = {
      valid_loss: event.loss,
      valid_mean_token_accuracy: event.token_accuracy,
      ...rewardsOf('valid', event),
    };
    return {
      figures: {
        ...(event.step === 0 ? { loss_before: event.loss } : { loss_after: event.loss }),
        ...latestRewards(event),
      },
      metrics: measured,
      lines: [
        metrics(`Step ${event.step}: validation loss=${event.loss.toFixed(4)}`, {
          step: event.step,
          ...measured,
        }),
      ],
    };
  },
  checkpoint: (event, known) => ({
    // It came further: what went wrong before is forgiven.
    change: { attempts: 0 },
    checkpoint: { step: event.step, metrics: known.metrics },
    lines: [info(`Checkpoint created at step ${event.step}`, { step: event.step })],
  }),
  warning: (event) => ({
    lines: [{ level: 'warn', type: 'message', message: event.message, data: {} }],
  }),
  finished: (event) => ({
    figures: {
      step: event.step,
      loss_before: event.loss_before,
      loss_after: event.loss_after,
      tokens: event.tokens,
      tokens_per_second: event.tokens_per_second,
      gflops: event.gflops,
      peak_memory_bytes: event.peak_memory_bytes,
      seconds_left: 0,
    },
    change: { trained_tokens: event.tokens, trained_at: new Date() },
    lines: [info('Training finished; the result is being checked', dataOf(event))],
  }),
  // What these mean for the job is the runner's decision.
  paused: () => ({}),
  failed: () => ({}),
};

export function interpret<T extends RunEvent['type']>(
  event: EventOf<T> & { readonly type: T },
  known: RunKnowledge,
): News {
  const interpreter: Interpreter<T> = interpreters[event.type];
  const news = interpreter(event, known);
  const figures = { ...known.figures, ...news.figures };
  return {
    known: {
      figures,
      phase: news.phase ?? known.phase,
      metrics: { ...known.metrics, ...news.metrics },
    },
    change: {
      ...news.change,
      ...(news.figures === undefined ? {} : { figures: JSON.stringify(figures) }),
    },
    lines: news.lines ?? [],
    checkpoint: news.checkpoint ?? null,
  };
}
