// The life of one run beside its maths: where it goes on, what it reports, when it saves, validates and
// pauses. Recipes own the loop and call this; it knows no method.
import type { RunEvent } from '@corral/contracts';
import { loadBest, saveBest } from '../checkpoint/best-parameters.ts';
import {
  type RunState,
  type Trained,
  resumeNewest,
  saveCheckpoint,
} from '../checkpoint/checkpoint.ts';
import { type ExampleStore, type StepPlan, planSteps } from '../data/data-set.ts';
import type { CausalLm } from '../models/causal-lm.ts';
import type { AdamW } from '../optim/adamw.ts';
import { methodTraits } from '../config/methods.ts';
import { learningRateAt } from '../optim/schedules.ts';
import { rewindEvents } from '../output/event-log.ts';
import type { Layout } from './layout.ts';
import type { RunData } from './load-data.ts';
import { type Run, RunPaused } from './run.ts';
import { createThroughput, memoryBytes } from './throughput.ts';
import { type StepResult, evaluateStore } from './train-step.ts';

export interface SessionParts {
  readonly data: RunData;
  readonly model: CausalLm;
  readonly optimizer: AdamW;
  /** Measures the held-out items; default: the loss of a token. `onBatch` may throw to stop. */
  readonly evaluate?: (onBatch: () => void) => Promise<StepResult>;
}

export interface FinishedStep {
  readonly result: StepResult;
  readonly learningRate: number;
  readonly gradNorm: number;
  readonly seconds: number;
}

const begin: RunState = {
  step: 0,
  tokens: 0,
  trainSeconds: 0,
  validatedStep: -1,
  lossBefore: null,
  lossAfter: null,
  best: null,
  withoutProgress: 0,
};

export const layoutOf = ({ config }: Run): Layout => ({
  packing: config.data.packing,
  examplesPerItem: methodTraits[config.method].examplesPerItem,
  contextLength: config.data.context_length,
});

/** How many items (examples, or pairs of them) a run has in a store. */
export const itemCount = ({ config }: Run, { count }: ExampleStore): number =>
  count / methodTraits[config.method].examplesPerItem;

/** The steps of a run: which items of a store, how many. */
export function stepPlanOf(run: Run, store: ExampleStore): StepPlan {
  const { config } = run;
  const { batch_size, gradient_accumulation, epochs, max_steps, seed } = config.train;
  return planSteps({
    examples: itemCount(run, store),
    batchSize: batch_size,
    gradientAccumulation: gradient_accumulation,
    epochs,
    maxSteps: max_steps,
    seed,
  });
}

export class TrainingSession {
  readonly plan: StepPlan;
  private readonly run: Run;
  private readonly parts: SessionParts;
  private readonly throughput = createThroughput();
  private current: RunState;
  private savedStep: number;

  private constructor(run: Run, parts: SessionParts, plan: StepPlan, state: RunState | null) {
    this.run = run;
    this.parts = parts;
    this.plan = plan;
    this.current = state ?? begin;
    this.savedStep = state?.step ?? -1;
  }

  /** Goes on from the newest checkpoint, or begins; says `started`. */
  static async open(run: Run, parts: SessionParts): Promise<TrainingSession> {
    const { data, model } = parts;
    const plan = stepPlanOf(run, data.train);
    const state = await resumeNewest(run.output, trainedOf(parts), {
      identity: run.identity,
      onDamaged: (path, why) => {
        run.emit({ type: 'warning', message: `The checkpoint "${path}" is passed over: ${why}` });
      },
    });
    await rewindEvents(run.output, state?.step ?? 0);
    run.emit({
      type: 'started',
      method: run.config.method,
      total_steps: plan.totalSteps,
      examples: itemCount(run, data.train),
      validation_examples: itemCount(run, data.validation),
      tokens_per_epoch: data.train.inputTokens,
      data_format: `${data.report.format} (${data.report.container})`,
      trainable_parameters: model.parameters.reduce(
        (sum, { data: values }) => sum + values.length,
        0,
      ),
      base_parameters: model.baseParameterCount,
      resumed_from_step: state?.step ?? null,
    });
    return new TrainingSession(run, parts, plan, state);
  }

  get state(): RunState {
    return this.current;
  }

  /** Of the step that comes next. */
  get learningRate(): number {
    const { schedule, learning_rate, warmup_ratio } = this.run.config.train;
    return learningRateAt(this.current.step, {
      schedule,
      learningRate: learning_rate,
      totalSteps: this.plan.totalSteps,
      warmupRatio: warmup_ratio,
    });
  }

  /** Validations without a better loss have reached `early_stopping`. */
  get stopsEarly(): boolean {
    const patience = this.run.config.train.early_stopping;
    return patience !== null && this.current.withoutProgress >= patience;
  }

  /** Reports a finished step (the count of steps done is one more than the step's index). */
  record({ result, learningRate, gradNorm, seconds }: FinishedStep): void {
    const { step, tokens, trainSeconds } = this.current;
    this.throughput.add({ tokens: result.tokens, seconds });
    this.current = {
      ...this.current,
      step: step + 1,
      tokens: tokens + result.tokens,
      trainSeconds: trainSeconds + seconds,
    };
    const left = this.plan.totalSteps - this.current.step;
    this.run.emit({
      type: 'step',
      step: this.current.step,
      epoch: this.plan.epochAt(this.current.step),
      loss: result.loss,
      learning_rate: learningRate,
      grad_norm: gradNorm,
      tokens: this.current.tokens,
      tokens_per_second: this.throughput.tokensPerSecond,
      token_accuracy: result.tokenAccuracy,
      memory_bytes: memoryBytes(),
      seconds_left: left * this.throughput.secondsPerStep,
      ...rewardsOf(result),
    });
  }

  /** Validates when it is time: before the first step, after each epoch and after the last step. */
  async validateIfDue(): Promise<void> {
    const { step, validatedStep, best, lossBefore, withoutProgress } = this.current;
    const due = step % this.plan.stepsPerEpoch === 0 || step === this.plan.totalSteps;
    const { data, model } = this.parts;
    if (!due || validatedStep === step || data.validation.count === 0) return;
    const result = await this.evaluate();
    const { loss, tokenAccuracy } = result;
    const better = best === null || loss < best.loss;
    this.current = {
      ...this.current,
      validatedStep: step,
      lossBefore: step === 0 ? loss : lossBefore,
      lossAfter: loss,
      best: better ? { step, loss } : best,
      withoutProgress: better ? 0 : withoutProgress + 1,
    };
    if (better && this.run.config.train.early_stopping !== null) {
      await saveBest(this.run.output, model.parameters, { step, identity: this.run.identity });
    }
    const measured = { loss, token_accuracy: tokenAccuracy, ...rewardsOf(result) };
    this.run.emit({ type: 'validation', step, ...measured });
    // Nothing is trained after this: what follows must not have to be computed again.
    if (this.stopsEarly) await this.checkpoint();
  }

  private async evaluate(): Promise<StepResult> {
    const { data, model, evaluate } = this.parts;
    const layout = layoutOf(this.run);
    const { batch_size: batchSize } = this.run.config.train;
    const onBatch = (): void => {
      if (this.run.signal.aborted) throw new RunPaused(this.current.step);
    };
    try {
      return evaluate
        ? await evaluate(onBatch)
        : await evaluateStore(model, data.validation, { layout, batchSize, onBatch });
    } catch (error) {
      if (error instanceof RunPaused) await this.checkpoint();
      throw error;
    }
  }

  /** Saves when it is time or when a pause was asked for, and then pauses. */
  async checkpointIfDue(): Promise<void> {
    const { step } = this.current;
    const { aborted } = this.run.signal;
    const due = step % this.run.config.checkpoint.every_steps === 0;
    if (aborted || due || step === this.plan.totalSteps) await this.checkpoint();
    if (aborted) throw new RunPaused(step);
  }

  private async checkpoint(): Promise<void> {
    const { step } = this.current;
    if (step === 0 || step === this.savedStep) return;
    const { path } = await saveCheckpoint(this.run.output, trainedOf(this.parts), {
      state: this.current,
      identity: this.run.identity,
      keep: this.run.config.checkpoint.keep,
    });
    this.savedStep = step;
    this.run.emit({ type: 'checkpoint', step, path } satisfies RunEvent);
  }

  /** With early stopping the best parameters are handed out, without it the last. */
  async chooseParameters(): Promise<void> {
    const { best, step } = this.current;
    if (this.run.config.train.early_stopping === null || best === null || best.step === step)
      return;
    await loadBest(this.run.output, this.parts.model.parameters);
    this.current = { ...this.current, lossAfter: best.loss };
  }
}

const rewardsOf = ({ rewards }: StepResult) =>
  rewards && { reward_accuracy: rewards.accuracy, reward_margin: rewards.margin };

const trainedOf = ({ model, optimizer }: SessionParts): Trained => ({
  parameters: model.parameters,
  optimizer,
});
