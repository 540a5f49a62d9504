// Stage 6: the model goes behind the OpenAI API and is asked, beside its base, by the official client:
// three questions for the eye, streamed, then all of them for the score.
import type { CorralClient } from '@corral/sdk';
import type OpenAI from 'openai';
import type { Io } from '../io.ts';
import { createWrapper, type Narrator } from './narrator.ts';
import { isAccepted, mapConcurrently, type Question } from './questions.ts';

const shownQuestions = 3;
// A base model rambles; what the tuned one has to say fits into half of this.
const maxTokens = 32;
// As many sequences as the engine decodes side by side.
const concurrency = 8;

export interface Scores {
  readonly base: number;
  readonly tuned: number;
  readonly questions: number;
}
interface Pair {
  readonly base: string;
  readonly tuned: string;
}
interface AskOptions {
  readonly openai: OpenAI;
  readonly signal: AbortSignal;
}

const request = (model: string, question: string) => ({
  model,
  messages: [{ role: 'user' as const, content: question }],
  temperature: 0,
  max_tokens: maxTokens,
});

async function streamInto(
  { openai, signal }: AskOptions,
  model: string,
  question: string,
  onText: (text: string) => void,
): Promise<void> {
  const stream = await openai.chat.completions.create(
    { ...request(model, question), stream: true },
    { signal },
  );
  let cut = false;
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    onText(choice?.delta.content ?? '');
    cut ||= choice?.finish_reason === 'length';
  }
  if (cut) onText(' …');
}

async function sideBySide(
  narrator: Narrator,
  io: Pick<Io, 'colors'>,
  options: AskOptions & { readonly models: Pair; readonly questions: readonly string[] },
): Promise<void> {
  const { bold, dim, green } = io.colors;
  const margin = `${narrator.indent}  `;
  for (const question of options.questions) {
    narrator.write(`\n${margin}${bold(question)}\n`);
    for (const [label, paint, model] of [
      ['base ', dim, options.models.base],
      ['tuned', green, options.models.tuned],
    ] as const) {
      narrator.write(`${margin}${paint(label)}  `);
      const start = margin.length + label.length + 2;
      const wrapper = createWrapper((text) => narrator.write(paint(text)), {
        width: narrator.width,
        hanging: ' '.repeat(start),
        start,
      });
      await streamInto(options, model, question, (text) => wrapper.push(text));
      wrapper.end();
    }
  }
  narrator.write('\n');
}

/** Right answers of both models, all questions asked at temperature 0. */
async function score(
  narrator: Narrator,
  { openai, signal }: AskOptions,
  models: Pair,
  questions: readonly Question[],
): Promise<Scores> {
  using progress = narrator.progress();
  const asked = (['tuned', 'base'] as const).flatMap((side) =>
    questions.map((question) => ({ side, question })),
  );
  let answered = 0;
  const right = { base: 0, tuned: 0 };
  await mapConcurrently(asked, concurrency, async ({ side, question }) => {
    const completion = await openai.chat.completions.create(
      request(models[side], question.question),
      { signal },
    );
    if (isAccepted(completion.choices[0]?.message.content ?? '', question)) right[side] += 1;
    answered += 1;
    progress.update(`${answered} of ${asked.length} answers`, answered / asked.length);
  });
  return { ...right, questions: questions.length };
}

/** Gives the tuned model its name, unless it has it already. */
async function deploy(client: CorralClient, model: string, alias: string): Promise<void> {
  const current = (await client.deployments.list()).find(({ name }) => name === alias);
  if (current?.model !== model) await client.deployments.create({ model, alias });
}

export interface AskInput {
  readonly base: string;
  readonly model: string;
  readonly alias: string;
  readonly questions: readonly Question[];
  /** Shown side by side when there are no held-out questions. */
  readonly prompts: readonly string[];
}

export async function askStage(
  io: Pick<Io, 'colors'>,
  clients: { readonly client: CorralClient; readonly openai: OpenAI },
  narrator: Narrator,
  input: AskInput & { readonly signal: AbortSignal },
): Promise<Scores> {
  narrator.stage('Deploy and ask');
  await deploy(clients.client, input.model, input.alias);
  narrator.done(`${input.model} answers as "${input.alias}" behind the OpenAI API`);
  narrator.book('deploy');
  const options = { openai: clients.openai, signal: input.signal };
  const models = { base: input.base, tuned: input.alias };
  const held = input.questions.length > 0;
  const shown = held ? input.questions.map(({ question }) => question) : input.prompts;
  await sideBySide(narrator, io, { ...options, models, questions: shown.slice(0, shownQuestions) });
  narrator.book('ask');
  if (!held) {
    narrator.note('your file brings no held-out questions, so there is no score');
    return { base: 0, tuned: 0, questions: 0 };
  }
  const scores = await score(narrator, options, models, input.questions);
  const { bold } = io.colors;
  narrator.done(
    `right answers to ${scores.questions} held-out questions: base ${scores.base}, tuned ${bold(String(scores.tuned))}`,
  );
  narrator.book('score');
  return scores;
}
