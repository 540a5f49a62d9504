// Texts ordered by how close they are to a question.
//   OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... node embeddings.ts MODEL QUESTION
import OpenAI from 'openai';

const [model = 'ferry', ...words] = process.argv.slice(2);
const question = words.length > 0 ? words.join(' ') : 'May I bring my dog?';
const texts = [
  'Dogs travel free of charge and stay on a lead.',
  'The first ferry leaves at six in the morning.',
  'Tickets are sold at the pier and on board.',
];

const { data, usage } = await new OpenAI().embeddings.create({
  model,
  input: [question, ...texts],
});
const [asked, ...others] = data.map(({ embedding }) => embedding);

/** Vectors have length 1: their product is the cosine. */
const closeness = (vector: readonly number[]): number =>
  vector.reduce((sum, value, i) => sum + value * (asked?.[i] ?? 0), 0);

const ordered = texts
  .map((text, i) => ({ text, score: closeness(others[i] ?? []) }))
  .toSorted((a, b) => b.score - a.score);
for (const { text, score } of ordered) console.log(`${score.toFixed(3)}  ${text}`);
console.log(`${usage.prompt_tokens} tokens`);
