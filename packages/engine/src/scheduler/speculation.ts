// When guessing pays. Each stream's guesses are made at every step and compared with what then comes, also
// while none is fed: so it is known, at no cost, how often they are right. They are fed when, by that
// experience and by what decodes of so many tokens cost here, more tokens come in less time.
import { follow, lookUp } from './look-up.ts';
import { largePiece } from './prompt-cut.ts';
import type { RowCosts } from './row-costs.ts';
import type { SequenceTask } from './sequence-task.ts';
import type { Draft, PlannedSlot } from './step-plan.ts';

/** Guesses for a stream and step. */
const mostGuesses = 15;
/** With the token before them they fill tiles of rows, or half of one. */
const lengths = [1, 3, 7, 11, mostGuesses];
/** Above it attention would be computed in another way (prompt-cut.ts). */
const mostSharedRows = largePiece - 1;
/** Less than this is within what the estimates err. */
const worthwhile = 1.1;
/** How often a guess is right at first, by how many tokens matched: under 4, 8, 16, more. */
const priors = [0.3, 0.6, 0.8, 0.92];
/** Weight of the last guess. */
const weight = 0.15;

const classOf = (matched: number): number =>
  matched < 4 ? 0 : matched < 8 ? 1 : matched < 16 ? 2 : 3;

/** What is known of one stream's guesses. */
interface Experience {
  /** Share that was right, by class. */
  readonly right: number[];
  /** The guesses of last time, and where the first belongs. */
  guesses: readonly number[];
  at: number;
  matched: number;
}

/** Compares the last guesses with what has come. */
function learn(experience: Experience, tokens: readonly number[]): void {
  const { right, guesses, at, matched } = experience;
  for (let i = 0; i < guesses.length && at + i < tokens.length; i++) {
    const isRight = guesses[i] === tokens[at + i];
    const kind = classOf(matched + i);
    right[kind] = (right[kind] as number) + (Number(isRight) - (right[kind] as number)) * weight;
    if (!isRight) return;
  }
}

/** Tokens a step is expected to bring with `count` guesses, the certain one included. */
function expected({ right, matched }: Experience, count: number): number {
  let sum = 1;
  let chance = 1;
  for (let i = 0; i < count; i++) {
    chance *= right[classOf(matched + i)] as number;
    sum += chance;
  }
  return sum;
}

export interface Speculation {
  readonly draft: Draft;
  /** A decode fed `drafted` guesses of which `accepted` were right. */
  record(drafted: number, accepted: number): void;
  readonly stats: { readonly drafted: number; readonly accepted: number };
}

export interface SpeculationOptions {
  readonly costs: Pick<RowCosts, 'atBest' | 'estimate'>;
  /** Each sequence has a cache of its own: in one decode all get equally many tokens, or it becomes several. */
  readonly apart: boolean;
  /** Rows of logits of one decode. */
  readonly rows: number;
}

/** Streams with what is known of their guesses; null: none was found. */
type Guessers = readonly (readonly [PlannedSlot, Experience | null])[];

/** Tokens a task can still be fed behind its last one: the last it may have is drawn, not fed. */
const roomOf = ({ task }: PlannedSlot): number =>
  task.speculative === true ? (task.maxTokens ?? 0) - task.tokens.length - 1 : 0;

/** Guesses for each stream, and how good they have been so far. */
function createGuesser(): (slot: PlannedSlot) => Experience | null {
  const experiences = new WeakMap<SequenceTask, Experience>();
  return (slot) => {
    const { task } = slot;
    if (task.speculative !== true) return null;
    const { tokens } = task;
    const known = experiences.get(task);
    const experience = known ?? { right: [...priors], guesses: [], at: 0, matched: 0 };
    if (!known) experiences.set(task, experience);
    learn(experience, tokens);
    const room = roomOf(slot);
    const found = room > 0 ? lookUp(tokens) : null;
    experience.guesses = found ? follow(tokens, found, Math.min(mostGuesses, room)) : [];
    experience.at = tokens.length;
    experience.matched = found?.matched ?? 0;
    return found ? experience : null;
  };
}

/** As many guesses as the others get; where none was found one more of the last token is as good as any. */
function padded(guesses: readonly number[], length: number, last: number): number[] {
  const missing = Math.max(0, length - guesses.length);
  return [...guesses.slice(0, length), ...Array.from({ length: missing }, () => last)];
}

export function createSpeculation({ costs, apart, rows }: SpeculationOptions): Speculation {
  const most = apart ? rows : Math.min(rows, mostSharedRows);
  const guess = createGuesser();
  const stats = { drafted: 0, accepted: 0 };

  /** Milliseconds of a step: all streams at once, or one by one. */
  const cost = (streams: number, width: number): number =>
    Math.min(costs.atBest(streams * width), streams * costs.atBest(width));

  /** Tokens that a step with `length` guesses a stream brings, and what it costs. */
  function outcome(streams: Guessers, length: number) {
    let gained = 0;
    let fed = 0;
    for (const [, experience] of streams) {
      const count = Math.min(length, experience?.guesses.length ?? 0);
      gained += experience ? expected(experience, count) : 1;
      fed += 1 + count;
    }
    if (!apart) return { gained, fed, ms: costs.atBest(fed) };
    return { gained, fed: streams.length * (1 + length), ms: cost(streams.length, 1 + length) };
  }

  /** The number of guesses that brings most tokens a millisecond; 0 when none is worth it. */
  function bestLength(streams: Guessers): number {
    // Where all get equally many, none may get more than it has room for.
    const room = apart ? Math.min(...streams.map(([slot]) => roomOf(slot))) : mostGuesses;
    let best = 0;
    let rate = (worthwhile * streams.length) / cost(streams.length, 1);
    for (const length of lengths) {
      const { gained, fed, ms } = outcome(streams, length);
      if (fed > most || length > room) break;
      if (gained / ms > rate) [best, rate] = [length, gained / ms];
    }
    return best;
  }

  return {
    draft: (running) => {
      if (running.length === 0 || 2 * running.length > most) return null;
      const streams: Guessers = running.map((slot) => [slot, guess(slot)]);
      if (streams.every(([, experience]) => experience === null)) return null;
      const length = bestLength(streams);
      if (length === 0) return null;
      return new Map(
        streams.map(([slot, experience]) => {
          const guesses = experience?.guesses ?? [];
          const least = apart ? length : Math.min(length, guesses.length);
          return [slot, padded(guesses, least, slot.task.tokens.at(-1) ?? 0)];
        }),
      );
    },
    record: (drafted, accepted) => {
      stats.drafted += drafted;
      stats.accepted += accepted;
    },
    stats,
  };
}
