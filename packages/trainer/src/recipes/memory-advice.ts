// What would need less memory than a run that does not fit: each change by itself, with what the run would need then.
import { methodTraits } from '../config/methods.ts';
import { stepMultiple } from '../models/batch-layout.ts';
import type { Work } from './count-work.ts';
import { type MemoryQuestion, peakBytes } from './run-memory.ts';

export interface MemoryAdvice {
  /** As it would stand in the configuration. */
  readonly change: string;
  readonly bytes: number;
}

const smallRank = 8;

/** The work with rows cut to a length. */
const cutRows = (work: Work, length: number): Work => ({
  ...work,
  shapes: work.shapes.map((shape) => ({
    ...shape,
    steps: Math.min(shape.steps, length),
    lookback: Math.min(shape.lookback, length),
    scored: Math.min(shape.scored, shape.rows * length),
  })),
});

/** Changes that save memory, the smallest need first. `question` is the most frugal way of the run as it is. */
export function memoryAdvice(question: MemoryQuestion, work: Work): MemoryAdvice[] {
  const { config } = question;
  const { method, lora } = config;
  const needWith = (changed: Partial<MemoryQuestion['config']>, packedBase: boolean): number =>
    peakBytes(
      {
        ...question,
        config: { ...config, ...changed },
        choice: { ...question.choice, packedBase },
      },
      work,
    );
  const { trainsAdapter } = methodTraits[method];
  const { packedBase } = question.choice;
  const longest = Math.max(...work.shapes.map(({ steps }) => steps));
  const half = stepMultiple * Math.floor(longest / 2 / stepMultiple);
  const found: MemoryAdvice[] = [];
  const advise = (change: string, bytes: number): void => void found.push({ change, bytes });
  if (method === 'lora') advise('method: qlora', needWith({ method: 'qlora' }, true));
  if (!trainsAdapter) advise('method: lora', needWith({ method: 'lora' }, false));
  if (half >= stepMultiple) {
    advise(`data.context_length: ${half}`, peakBytes(question, cutRows(work, half)));
  }
  if (trainsAdapter && lora.rank > smallRank) {
    const less = { ...lora, rank: smallRank };
    advise(`lora.rank: ${smallRank}`, needWith({ lora: less }, packedBase));
  }
  const needed = peakBytes(question, work);
  return found.filter(({ bytes }) => bytes < needed).toSorted((a, b) => a.bytes - b.bytes);
}
