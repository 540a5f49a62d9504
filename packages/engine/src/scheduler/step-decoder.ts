// Turns a planned step into decodes. A step in which streams get their next tokens is decoded in the shape
// that costs least (step-shape.ts); every other one as it was planned. Idle sequences that fill a tile are
// given a token that is forgotten at once. Knows nothing of what is planned and why.
import type { NativeContext } from '../llama-cpp/native-types.ts';
import type { DecodeStrategy } from './decode-strategy.ts';
import type { RowCosts } from './row-costs.ts';
import type { IdleSequence, SequencePool } from './sequence-pool.ts';
import type { SequenceTask } from './sequence-task.ts';
import type { PlannedFeed } from './step-feed.ts';
import { shapeStep, type ShapeRow } from './step-shape.ts';

export interface StepDecoderOptions {
  readonly context: Pick<NativeContext, 'batch' | 'outputs' | 'sequenceTokens' | 'sharedTokens'>;
  readonly strategy: DecodeStrategy;
  readonly pool: Pick<SequencePool, 'idle' | 'grow' | 'truncate'>;
  readonly costs: RowCosts;
}

export interface StepDecoder {
  /** Feeds the plan and hands each wanted row of logits to its task. */
  run(plan: readonly PlannedFeed[]): void;
}

/** Idle sequences that may lie on either side of the streams. */
const mostIdle = 3;

/** The adapter and the rows of each sequence, where all get a token and as many guesses; else null. */
function sameRows(plan: readonly PlannedFeed[]) {
  const [first] = plan;
  if (!first) return null;
  const { adapter } = first.slot.task;
  const guesses = first.drafts.length;
  const same = plan.every(
    ({ slot, count, drafts }) =>
      count === 1 && drafts.length === guesses && slot.task.adapter === adapter,
  );
  return same ? { adapter, width: 1 + guesses } : null;
}

/** `width` tokens behind what the sequence holds; nobody wants to know what comes of them. */
function fill({ sequence, length }: IdleSequence, width: number): PlannedFeed {
  const tokens: number[] = [];
  tokens[length] = 0;
  const task: SequenceTask = {
    id: '',
    tenant: '',
    adapter: null,
    tokens,
    finished: false,
    // As the streams beside it: the last product takes its rows by tiles, too.
    wantsLogits: () => true,
    acceptLogits: () => {},
    cancel: () => {},
    fail: () => {},
  };
  const drafts = Array.from({ length: width - 1 }, () => 0);
  return { slot: { task, sequence, fed: length, answered: 0 }, count: 1, drafts };
}

export function createStepDecoder(options: StepDecoderOptions): StepDecoder {
  const { context, strategy, pool, costs } = options;
  const apart = context.sharedTokens === null;
  const most = Math.min(context.outputs, context.batch.capacity);

  /** Idle sequences near the streams, by number. */
  function idleBeside(plan: readonly PlannedFeed[], width: number): Map<number, IdleSequence> {
    const room = context.sequenceTokens - width;
    const sequences = plan.map(({ slot }) => slot.sequence);
    const [low, high] = [Math.min(...sequences) - mostIdle, Math.max(...sequences) + mostIdle];
    const near = pool
      .idle(width)
      .filter(({ length }) => length <= room)
      .filter(({ sequence }) => !apart || (sequence >= low && sequence <= high));
    return new Map((apart ? near : near.slice(0, mostIdle)).map((idle) => [idle.sequence, idle]));
  }

  function decode(part: readonly ShapeRow[], feeds: ReadonlyMap<number, PlannedFeed>): void {
    strategy.run(part.map(({ sequence }) => feeds.get(sequence) as PlannedFeed));
  }

  function runShaped(plan: readonly PlannedFeed[], width: number, mayFill: boolean): void {
    const idle = mayFill ? idleBeside(plan, width) : new Map<number, IdleSequence>();
    const feeds = new Map(plan.map((feed) => [feed.slot.sequence, feed]));
    const rows = [
      ...plan.map(({ slot }) => ({ sequence: slot.sequence, needed: true })),
      ...[...idle.keys()].map((sequence) => ({ sequence, needed: false })),
    ];
    // In a shared cache neighbours are whoever is named one after the other: streams, then idle ones.
    if (apart) rows.sort((a, b) => a.sequence - b.sequence);
    for (const part of shapeStep(rows, { costs, apart, width, most })) {
      const fillers = part.filter(({ needed }) => !needed).map(({ sequence }) => sequence);
      for (const sequence of fillers) {
        feeds.set(sequence, fill(idle.get(sequence) as IdleSequence, width));
        pool.grow(sequence, width);
      }
      const start = performance.now();
      decode(part, feeds);
      costs.record(part.length * width, performance.now() - start);
      for (const sequence of fillers)
        pool.truncate(sequence, (idle.get(sequence) as IdleSequence).length);
    }
  }

  function runWhole(plan: readonly PlannedFeed[]): void {
    const start = performance.now();
    strategy.run(plan);
    // In a shared cache streams may have guesses of their own number.
    if (apart || plan.some(({ count }) => count > 1)) return;
    const rows = plan.reduce((sum, { count, drafts }) => sum + count + drafts.length, 0);
    costs.record(rows, performance.now() - start);
  }

  return {
    run: (plan) => {
      const same = plan.length > 0 ? sameRows(plan) : null;
      // Fillers have no adapter: beside streams that have one they would be a group of their own.
      if (same) runShaped(plan, same.width, same.adapter === null);
      else runWhole(plan);
    },
  };
}
