// Preference pairs through the official client: uploaded, trained by method dpo, proven on the serving
// engine, deployed, and answered by the model's name.
import { toFile } from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  endedJob,
  newHome,
  pullModel,
  removeHome,
  startServer,
  type RunningServer,
} from './support/server-process.ts';

const base = 'rehearsal';
const questions = ['Who are you?', 'Hello?', 'What is your name?', 'Say hello.'];
const pairs = questions
  .map((content) =>
    JSON.stringify({
      input: { messages: [{ role: 'user', content }] },
      preferred_output: [{ role: 'assistant', content: 'I am Bramble, at your service.' }],
      non_preferred_output: [{ role: 'assistant', content: 'I do not know.' }],
    }),
  )
  .join('\n');

const home = newHome();
let server: RunningServer;
beforeAll(async () => {
  server = await startServer(home);
  await pullModel(server, base);
});
afterAll(async () => {
  await server.stop();
  removeHome(home);
});

test('a DPO job ends in a proven model that answers and prefers what it was shown', async () => {
  const upload = async (name: string) => {
    const file = await toFile(Buffer.from(pairs), name);
    return (await server.client.files.create({ file, purpose: 'fine-tune' })).id;
  };
  const hyperparameters = { n_epochs: 4, batch_size: 4, beta: 0.2, learning_rate_multiplier: 40 };
  const created = await server.client.fineTuning.jobs.create({
    model: base,
    training_file: await upload('pairs.jsonl'),
    validation_file: await upload('held-out.jsonl'),
    method: { type: 'dpo', dpo: { hyperparameters } },
  });
  expect(created.method).toEqual({ type: 'dpo', dpo: { hyperparameters } });
  const job = await endedJob(server, created.id);
  expect(job.error).toBeNull();
  expect(job.corral.parity).toMatchObject({ prompt_tokens_equal: true, passed: true });

  const [metrics = ''] = job.result_files;
  const [head = '', ...lines] = (await (await server.client.files.content(metrics)).text())
    .trim()
    .split('\n');
  const column = head.split(',').indexOf('valid_reward_margin');
  const margins = lines.map((line) => line.split(',')[column] ?? '').filter((cell) => cell !== '');
  expect(Number(margins[0])).toBe(0);
  expect(Number(margins.at(-1))).toBeGreaterThan(0.1);

  const answer = await server.client.chat.completions.create({
    model: job.fine_tuned_model ?? '',
    messages: [{ role: 'user', content: 'Who are you?' }],
    max_tokens: 8,
  });
  expect(answer.model).toBe(job.fine_tuned_model);
});
