// Prompts for the serving benchmarks: texts that are copied, stories that are not, a long shared beginning.
import { promptOf } from './streams.ts';

const text =
  'The harbour opens at six every morning, and the captain checks the weather board before any boat is allowed to leave. In winter the fishermen mend their nets in the long wooden shed near the pier, while the children of the village carry letters between the market and the old stone bridge. Nobody remembers who painted the lighthouse silver, but everyone agrees that it shines better than the moon.';
const json = JSON.stringify(
  {
    name: 'Alice Johnson',
    age: 34,
    email: 'alice@example.com',
    city: 'Berlin',
    country: 'Germany',
    skills: ['python', 'typescript', 'rust'],
    address: { street: 'Main Street 12', zip: '10115' },
    active: true,
  },
  null,
  2,
);

/** Answers repeat what they were given. */
export const copyTasks = [
  `Repeat the following text exactly, word for word:\n\n${text}`,
  `Change the value of "city" to "Paris" and print the full JSON again:\n${json}`,
];

/** Answers are new. */
export const storyTasks = [
  'Write a short story about a dog and a boat.',
  'Explain why the sky is blue, to a child.',
];

/** A system prompt of about 1,000 tokens; another for each `seed`. */
export const sharedPrompt = (seed: number): string =>
  Array.from(
    { length: 44 },
    (_, i) =>
      `Rule ${seed}.${i}: always answer politely and mention item ${(i * 37) % 101} of the catalogue.`,
  ).join(' ');

/** Token ids of a prompt of 4,096 tokens. */
export const longPrompt = (seed: number): number[] => promptOf(50_000 + seed, 4096);

const words =
  'the of and to in is was for that on as with by at from his he it be are this which or had not but have they were an one all their been has who will more when would there what some can other about time into only may then over such our two new like them no very after way day many could'.split(
    ' ',
  );

/** So many common words, other ones for each `seed`: servers remember prompts. */
export function wordsOf(seed: number, count: number): string {
  const draw = createRandom(seed);
  const word = (): string => words[Math.floor(draw() * words.length)] ?? '';
  return Array.from({ length: count }, word).join(' ');
}

/** Mulberry32 (T. Ettinger, 2017): uniform in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
