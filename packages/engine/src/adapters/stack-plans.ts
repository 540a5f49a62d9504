// The stacks that can be made for the adapters that are loaded: their targets together, one size for each power
// of two up to what memory allows. Plans are made anew when an adapter changes a matrix that none did before.
import type { PackedAdapter, StackFormat, StackPlan } from '../llama-cpp/stack-types.ts';
import type { BaseMatrices } from './lora-file.ts';
import { bytesPerRank, largestRanks, planStack, smallestRanks } from './stack-plan.ts';

export interface StackPlans {
  /** The smallest stack for so many ranks; null when none is large enough. Equal answers are one object. */
  find(format: StackFormat, ranks: number): StackPlan | null;
  /** Multiplications of one rank over those of the base, for a token. */
  readonly rankCost: number;
  /** True when plans had to be made anew: stacks of the old ones lack targets of this adapter. */
  include(adapter: PackedAdapter): Promise<boolean>;
}

export interface StackPlansOptions {
  readonly base: BaseMatrices;
  /** Bytes that one stack may take. */
  readonly maxBytes: number;
}

export function createStackPlans({ base, maxBytes }: StackPlansOptions): StackPlans {
  const names = new Set<string>();
  let plans = new Map<StackFormat, StackPlan[]>();

  async function make(format: StackFormat): Promise<StackPlan[]> {
    const { architecture, matrices } = base;
    const targets = [...matrices]
      .filter(([name]) => names.has(name))
      .map(([name, matrix]) => ({ name, ...matrix }));
    const perRank = bytesPerRank(format, targets);
    const made: StackPlan[] = [];
    for (let ranks = smallestRanks; ranks <= largestRanks; ranks *= 2)
      if (ranks === smallestRanks || ranks * perRank <= maxBytes)
        made.push(await planStack({ architecture, format, ranks, targets }));
    return made;
  }

  const productsOf = (counted: (name: string) => boolean): { ranks: number; base: number } => {
    const total = { ranks: 0, base: 0 };
    for (const [name, { inputs, outputs }] of base.matrices) {
      if (name !== 'token_embd.weight') total.base += inputs * outputs;
      if (counted(name)) total.ranks += inputs + outputs;
    }
    return total;
  };

  return {
    find: (format, ranks) => plans.get(format)?.find((plan) => plan.ranks >= ranks) ?? null,
    get rankCost() {
      const { ranks, base: all } = productsOf((name) => names.has(name));
      return ranks / Math.max(1, all);
    },
    include: async ({ format, parts }) => {
      const grown = [...parts.keys()].filter((name) => !names.has(name));
      if (grown.length === 0 && plans.has(format)) return false;
      for (const name of grown) names.add(name);
      const formats = new Set([...plans.keys(), format]);
      const made = new Map<StackFormat, StackPlan[]>();
      for (const one of formats) made.set(one, await make(one));
      plans = made;
      return true;
    },
  };
}
