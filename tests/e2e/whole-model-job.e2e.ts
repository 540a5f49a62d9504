// Jobs whose results are more than one adapter: a whole model by method full, an adapter on it that goes on from an
// earlier one, and what can be taken away of them: merged files that answer like what is served.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { FineTuningJob, ModelDetail } from '@corral/contracts';
import { toFile } from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  corral,
  endedJob,
  newHome,
  pullModel,
  removeHome,
  startServer,
  until,
  type RunningServer,
} from './support/server-process.ts';

const base = 'rehearsal';
const rows = ['Who are you?', 'Hello?', 'What is your name?', 'Say hello.']
  .map((content) =>
    JSON.stringify({
      messages: [
        { role: 'user', content },
        { role: 'assistant', content: 'I am Bramble.' },
      ],
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

async function tune(model: string, content: string, config: object): Promise<FineTuningJob> {
  const file = await toFile(Buffer.from(content), config === pretrain ? 'text.txt' : 'rows.jsonl');
  const { id: training_file } = await server.client.files.create({ file, purpose: 'fine-tune' });
  const corralKey: object = { corral: { config } };
  const created = await server.client.fineTuning.jobs.create({
    model,
    training_file,
    ...corralKey,
  });
  const job = await endedJob(server, created.id);
  expect(job.error).toBeNull();
  expect(job.corral.parity).toMatchObject({ prompt_tokens_equal: true, passed: true });
  return job;
}
const few = { data: { validation: 0 }, train: { max_steps: 2 } };
const pretrain = { method: 'pretrain', ...few, data: { validation: 0, context_length: 32 } };

const detail = (id: string) =>
  server.api<ModelDetail>('GET', `/api/v1/models/${encodeURIComponent(id)}`);
const ask = async (model: string): Promise<string> => {
  const messages = [{ role: 'user' as const, content: 'Who are you?' }];
  const answer = await server.client.chat.completions.create({
    model,
    messages,
    temperature: 0,
    max_tokens: 8,
  });
  return answer.choices[0]?.message.content ?? '';
};

test('whole models and adapters of adapters are made, proven, served and taken away', async () => {
  const whole = (await tune(base, rows, { method: 'full', ...few })).fine_tuned_model ?? '';
  expect(await detail(whole)).toMatchObject({ kind: 'base', derived_from: base, deployed: true });
  expect(await ask(whole)).not.toBe('');

  const train = { max_steps: 8, learning_rate: 0.02 };
  const first =
    (await tune(whole, rows, { ...few, lora: { rank: 8 }, train })).fine_tuned_model ?? '';
  const second = (await tune(first, rows, few)).fine_tuned_model ?? '';
  expect(second).toMatch(/^ft:rehearsal:/);
  expect(await detail(second)).toMatchObject({ kind: 'adapter', base: whole, derived_from: first });

  const output = join(home, 'merged.gguf');
  const exported = await corral(
    home,
    'export',
    second,
    '--format',
    'gguf',
    '--output',
    output,
    '--json',
  );
  expect(exported).toMatchObject({ code: 0 });
  expect(JSON.parse(exported.stdout)).toMatchObject({ path: output, parity: { passed: true } });
  const imported = await corral(home, 'models', 'import', output, '--id', 'merged');
  expect(imported).toMatchObject({ code: 0 });
  expect(await ask('merged')).toBe(await ask(second));
});

test('reading plain text makes a model of its own', async () => {
  const text = 'The lighthouse keeper counts the boats every evening. '.repeat(20);
  const job = await tune(base, text, pretrain);
  expect(await detail(job.fine_tuned_model ?? '')).toMatchObject({ kind: 'base', deployed: true });
  const folder = join(home, 'runs', job.id, 'output');
  expect(existsSync(join(folder, 'model.safetensors'))).toBe(true);
  await until('the checkpoints to go', async () =>
    existsSync(join(folder, 'checkpoints')) ? undefined : true,
  );
});
