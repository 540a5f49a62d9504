// A stack of adapters without native code: remembers what lies where, and says what a sequence would get.
import type { NativeStack, PackedAdapter, RankRange, StackPlan } from './stack-types.ts';

export interface FakeStack extends NativeStack {
  readonly closed: boolean;
  /** A number that stands for what `ranks` of the stack do to a sequence; 0 = nothing. */
  effect(ranks: RankRange | null): number;
}

const effectOf = ({ parts }: PackedAdapter): number =>
  [...parts.values()].reduce(
    (sum, { a, b }) => [...a, ...b].reduce((hash, byte) => (hash * 31 + byte) % 99_991, sum + 7),
    1,
  );

export function createFakeStack(plan: StackPlan): FakeStack {
  const contents = new Map<number, PackedAdapter>();
  let closed = false;
  /** Forgets what overlaps; half an adapter would be of no use to anyone. */
  function clear({ from, to }: RankRange): void {
    for (const [at, { rank }] of contents) if (at < to && from < at + rank) contents.delete(at);
  }
  return {
    plan,
    get closed() {
      return closed;
    },
    write: (from, adapter) => {
      const to = from + adapter.rank;
      if (to > plan.ranks) throw new RangeError(`ranks ${from} to ${to} of ${plan.ranks}`);
      clear({ from, to });
      contents.set(from, adapter);
    },
    clear,
    effect: (ranks) => {
      if (closed) throw new Error('decoded with a freed stack');
      if (ranks === null) return 0;
      const whole = ranks.from === 0 && ranks.to === plan.ranks;
      const inside = [...contents].filter(([at]) => whole || at === ranks.from);
      const [first] = inside;
      if (inside.length !== 1 || !first || (!whole && first[1].rank !== ranks.to - ranks.from))
        throw new Error(`ranks ${ranks.from} to ${ranks.to} hold ${inside.length} adapters`);
      return effectOf(first[1]);
    },
    close: () => {
      closed = true;
    },
  };
}
