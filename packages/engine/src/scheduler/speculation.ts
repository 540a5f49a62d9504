// When guessing pays. Each stream's guesses are made at every step and compared with what then comes, also
// while none is fed: so it is known, at no cost, how often they are right. They are fed when, by that
// experience and by what decodes of so many tokens cost here, more tokens come in less time.
import { follow, lookUp } from './look-up.ts';
import type { SequenceTask } from './sequence-task.ts';
import type { StepCosts } from './step-costs.ts';
import type { Draft, PlannedSlot } from './step-plan.ts';

/** With more streams the cores have enough to do. */
const mostStreams = 8;
/** With a cache each, sequences of unequal length are computed one after the other: guesses cost a pass. */
const mostStreamsApart = 1;
/** Guesses for a stream and step. */
const mostGuesses = 15;
const lengths = [1, 2, 3, 5, 7, 11, mostGuesses];
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

/** `shared`: all sequences have one cache, so a decode takes any mixture at once. */
export function createSpeculation(costs: StepCosts, shared: boolean): Speculation {
  const most = shared ? mostStreams : mostStreamsApart;
  const experiences = new WeakMap<SequenceTask, Experience>();
  const stats = { drafted: 0, accepted: 0 };

  function guess({ task }: PlannedSlot): Experience | null {
    const { tokens } = task;
    const known = experiences.get(task);
    const experience = known ?? { right: [...priors], guesses: [], at: 0, matched: 0 };
    if (!known) experiences.set(task, experience);
    learn(experience, tokens);
    // The last token a task may have is drawn, not fed.
    const room = (task.maxTokens ?? 0) - tokens.length - 1;
    const found = room > 0 ? lookUp(tokens) : null;
    experience.guesses = found ? follow(tokens, found, Math.min(mostGuesses, room)) : [];
    experience.at = tokens.length;
    experience.matched = found?.matched ?? 0;
    return found ? experience : null;
  }

  /** The number of guesses that brings most tokens a millisecond; 0 when none is worth it. */
  function bestLength(streams: number, experiences: readonly Experience[]): number {
    let best = 0;
    let rate = (worthwhile * streams) / costs.estimate(streams);
    for (const length of lengths) {
      let gained = streams - experiences.length;
      let fed = streams;
      for (const experience of experiences) {
        const count = Math.min(length, experience.guesses.length);
        gained += expected(experience, count);
        fed += count;
      }
      const here = gained / costs.estimate(fed);
      if (here > rate) [best, rate] = [length, here];
    }
    return best;
  }

  return {
    draft: (running) => {
      if (running.length === 0 || running.length > most) return null;
      const known = new Map<PlannedSlot, Experience>();
      for (const slot of running) {
        const experience = slot.task.speculative === true ? guess(slot) : null;
        if (experience) known.set(slot, experience);
      }
      if (known.size === 0) return null;
      const length = bestLength(running.length, [...known.values()]);
      if (length === 0) return null;
      return new Map([...known].map(([slot, { guesses }]) => [slot, guesses.slice(0, length)]));
    },
    record: (drafted, accepted) => {
      stats.drafted += drafted;
      stats.accepted += accepted;
    },
    stats,
  };
}
