import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { earlier, fakeModels } from '../../testing/models-port.fake.ts';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';

const trainerEntry = fileURLToPath(
  new URL('../../testing/trainer-worker.fake.ts', import.meta.url),
);
type Fake = ReturnType<typeof fakeModels>;
let server: TestApp;
let fake: Fake;

const start = async (config: object = {}): Promise<void> => {
  fake = fakeModels();
  server = await createTestApp({
    config,
    substitutes: { models: fake.models, parity: fake.parity, trainerEntry },
  });
};
afterEach(() => server.close());

const upload = async (script: object, rows = 2): Promise<string> => {
  const lines = [JSON.stringify({ script }), ...Array.from({ length: rows - 1 }, () => '{}')];
  return (await server.upload(`${lines.join('\n')}\n`)).json.id;
};
const create = async (script: object, extra: object = {}) =>
  server.call('POST', '/v1/fine_tuning/jobs', {
    body: { model: 'tiny', training_file: await upload(script), ...extra },
  });
const get = async (id: string) => (await server.call('GET', `/v1/fine_tuning/jobs/${id}`)).json;
const events = async (id: string): Promise<{ message: string; level: string; type: string }[]> =>
  (await server.call('GET', `/v1/fine_tuning/jobs/${id}/events?limit=1000`)).json.data.toReversed();

async function until(id: string, status: string) {
  for (const deadline = Date.now() + 20_000; ; await sleep(25)) {
    const job = await get(id);
    if (job.status === status) return job;
    if (['failed', 'succeeded', 'cancelled'].includes(job.status) || Date.now() > deadline)
      throw new Error(`${job.status}: ${JSON.stringify(job.error)}`);
  }
}
async function untilStep(id: string, step: number) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(25))
    if (((await get(id)).corral.figures?.step ?? 0) >= step) return;
  throw new Error('no progress');
}

describe('a fine-tuning job', () => {
  it('goes from file to registered, proven model, and leaves a record', async () => {
    await start();
    const made = await create({ steps: 4 }, { suffix: 'farm', metadata: { team: 'a' }, seed: 7 });
    expect(made.status).toBe(200);
    expect(made.json).toMatchObject({
      object: 'fine_tuning.job',
      status: 'validating_files',
      model: 'tiny',
      seed: 7,
      fine_tuned_model: null,
      hyperparameters: { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 1 },
      method: { type: 'supervised' },
    });
    const job = await until(made.json.id, 'succeeded');
    expect(job.fine_tuned_model).toMatch(/^ft:tiny:default:farm:\w{8}$/);
    expect(job).toMatchObject({ trained_tokens: 100, error: null, metadata: { team: 'a' } });
    expect(job.finished_at).toBeGreaterThanOrEqual(job.created_at);
    expect(job.corral.figures).toMatchObject({ step: 4, loss_before: 3, loss_after: 1 });
    expect(job.corral.parity.passed).toBe(true);
    expect(fake.trained).toMatchObject([
      { id: job.fine_tuned_model, trainedOn: 'tiny', jobId: job.id },
    ]);

    const lines = await events(job.id);
    expect(lines[0]?.message).toContain('Created');
    expect(lines.filter(({ type }) => type === 'metrics')).toHaveLength(6);
    const checkpoints = await server.call('GET', `/v1/fine_tuning/jobs/${job.id}/checkpoints`);
    expect(checkpoints.json.data.map((one: { step_number: number }) => one.step_number)).toEqual([
      4, 2,
    ]);
    expect(checkpoints.json.data[0].metrics).toMatchObject({ train_loss: 1 });
    const csv = await server.call('GET', `/v1/files/${job.result_files[0]}/content`);
    expect(csv.text.split('\n')[0]).toContain('train_loss');
    expect(csv.text.trim().split('\n')).toHaveLength(6);
    const log = await server.call('GET', '/api/v1/evidence/entries?limit=1000');
    const actions = log.json.data
      .map((entry: { event: { action: string } }) => entry.event.action)
      .filter((action: string) => action.startsWith('fine_tuning_job'));
    expect(actions).toEqual([
      'fine_tuning_job.created',
      'fine_tuning_job.queued',
      'fine_tuning_job.started',
      'fine_tuning_job.succeeded',
    ]);
  });

  it('learns from preference pairs in the words of OpenAI, and reports rewards', async () => {
    await start();
    const hyperparameters = { n_epochs: 1, beta: 0.2 };
    const made = await create(
      { steps: 2, format: 'preference' },
      { method: { type: 'dpo', dpo: { hyperparameters } } },
    );
    expect(made.json).toMatchObject({
      method: { type: 'dpo', dpo: { hyperparameters: { n_epochs: 1, batch_size: 4, beta: 0.2 } } },
      corral: { config: { method: 'dpo', dpo: { beta: 0.2 } } },
    });
    const job = await until(made.json.id, 'succeeded');
    expect(job.corral.figures).toMatchObject({ reward_accuracy: 1, reward_margin: 0.5 });
    expect(fake.trained).toMatchObject([{ id: job.fine_tuned_model, trainedOn: 'tiny' }]);
    const lines = await server.call('GET', `/v1/fine_tuning/jobs/${job.id}/events?limit=1000`);
    const measured = (lines.json.data as { type: string; data: object }[])
      .filter(({ type }) => type === 'metrics')
      .map(({ data }) => data);
    expect(measured).toHaveLength(4);
    expect(measured[1]).toMatchObject({
      step: 2,
      train_reward_accuracy: 0.75,
      train_reward_margin: 0.25,
    });
    const csv = await server.call('GET', `/v1/files/${job.result_files[0]}/content`);
    expect(csv.text.split('\n')[0]).toContain('valid_reward_margin');
  });

  it('refuses preference pairs for a method that cannot use them, before it starts', async () => {
    await start();
    const made = await create({ format: 'preference' });
    await expect(until(made.json.id, 'succeeded')).rejects.toThrow('preference pairs');
    expect((await get(made.json.id)).error).toMatchObject({
      code: 'data_invalid',
      param: 'training_file',
    });
  });

  it('trains on and measures by files of each kind', async () => {
    await start();
    const endings = ['csv', 'tsv', 'json', 'parquet', 'txt'];
    const jobs = endings.map(async (ending) => {
      const fields = { file: `rows.${ending}`, purpose: 'fine-tune' };
      const { json: file } = await server.upload('{"script": {"steps": 1}}\n', { fields });
      const { json } = await server.call('POST', '/v1/fine_tuning/jobs', {
        body: { model: 'tiny', training_file: file.id, validation_file: file.id },
      });
      return (await until(json.id, 'succeeded')).validation_file === file.id;
    });
    expect(await Promise.all(jobs)).toEqual(endings.map(() => true));
  });

  it('is refused at once, by name, for methods that are not offered', async () => {
    await start();
    const refused = async (extra: object) => {
      const { status, json } = await create({}, extra);
      return [status, json.error.code, json.error.param];
    };
    expect(await refused({ method: { type: 'reinforcement', reinforcement: {} } })).toEqual([
      400,
      'unsupported_parameter',
      'method.type',
    ]);
    expect(await refused({ corral: { config: { method: 'grpo' } } })).toEqual([
      400,
      'unsupported_parameter',
      'corral.config.method',
    ]);
    expect(await refused({ model: earlier, corral: { config: { method: 'full' } } })).toEqual([
      400,
      'invalid_request',
      'model',
    ]);
  });

  it.each(['full', 'pretrain'])('makes a model of its own by method %s', async (method) => {
    await start();
    const made = await create({ steps: 2 }, { corral: { config: { method } } });
    expect(made.json).toMatchObject({
      method: { type: 'supervised' },
      corral: { config: { method } },
    });
    const job = await until(made.json.id, 'succeeded');
    expect(fake.trained).toMatchObject([
      { id: job.fine_tuned_model, trainedOn: 'tiny', result: { kind: 'model' } },
    ]);
    expect(fake.checked).toMatchObject([
      { kind: 'model', id: job.fine_tuned_model, format: 'Q8_0' },
    ]);
  });

  it('goes on from an earlier fine-tuned model that is named as the model', async () => {
    await start();
    const made = await create({ steps: 2 }, { model: earlier });
    expect(made.json).toMatchObject({ model: earlier });
    const job = await until(made.json.id, 'succeeded');
    expect(job.fine_tuned_model).toMatch(/^ft:tiny:default::\w{8}$/);
    expect(fake.trained).toMatchObject([{ trainedOn: earlier, result: { kind: 'adapter' } }]);
    expect(fake.checked).toMatchObject([{ kind: 'adapter', base: 'tiny' }]);
    const run = readFileSync(join(server.home, 'runs', job.id, 'run.yaml'), 'utf8');
    expect(run).toContain('init: /runs/earlier/output');
    expect(run).toContain('model: /models/tiny.gguf');
  });

  it('fails before it starts when rows cannot be used, and names them', async () => {
    await start();
    const made = await create({ badRows: 25 });
    for (let tries = 0; (await get(made.json.id)).status !== 'failed' && tries < 400; tries += 1)
      await sleep(25);
    const job = await get(made.json.id);
    expect(job.error).toMatchObject({ code: 'data_invalid', param: 'training_file' });
    expect(job.error.message).toContain('row 2: there is no assistant turn');
    expect(job.error.message).toContain('and 5 more rows');
    const errors = (await events(job.id)).filter(({ level }) => level === 'error');
    expect(errors).toHaveLength(21);
  });

  it('goes on from its checkpoint when the trainer is killed', async () => {
    await start();
    const made = await create({ steps: 6, dieAtStep: 5, dieTimes: 2 });
    const job = await until(made.json.id, 'succeeded');
    const messages = (await events(job.id)).map(({ message }) => message);
    expect(messages.filter((text) => text.includes('SIGKILL'))).toHaveLength(2);
    expect(messages).toContain('Training resumed from step 4 of 6');
    expect(job.trained_tokens).toBe(150);
  });

  it('gives up when it dies again and again without coming further', async () => {
    await start({ training: { attempts: 2 } });
    const made = await create({ steps: 6, dieAtStep: 1, dieTimes: 9 });
    await expect(until(made.json.id, 'succeeded')).rejects.toThrow('training_failed');
  });

  it('fails with the code the trainer gives', async () => {
    await start();
    const made = await create({ failAtStep: 2 });
    await expect(until(made.json.id, 'succeeded')).rejects.toThrow('training_diverged');
  });

  it('pauses with a checkpoint, keeps still, and resumes to the same end', async () => {
    await start();
    const { json } = await create({ steps: 200, stepMs: 10, checkpointEvery: 1000 });
    await untilStep(json.id, 3);
    const pausing = await server.call('POST', `/v1/fine_tuning/jobs/${json.id}/pause`);
    expect(pausing.json.status).toBe('pausing');
    const paused = await until(json.id, 'paused');
    await sleep(100);
    expect((await get(json.id)).corral.figures.step).toBe(paused.corral.figures.step);
    const again = await server.call('POST', `/v1/fine_tuning/jobs/${json.id}/pause`);
    expect([again.status, again.json.error.code]).toEqual([409, 'conflict']);
    const resumed = await server.call('POST', `/v1/fine_tuning/jobs/${json.id}/resume`);
    expect(resumed.json.status).toBe('queued');
    await until(json.id, 'succeeded');
    const messages = (await events(json.id)).map(({ message }) => message);
    expect(messages.some((text) => /Training resumed from step \d+ of 200/.test(text))).toBe(true);
  });

  it('is cancelled at once and stops its trainer', async () => {
    await start();
    const { json } = await create({ steps: 10_000, stepMs: 5 });
    await untilStep(json.id, 2);
    const jobs = async (key: string) =>
      (await server.call('GET', '/api/v1/status', { key })).json.jobs;
    expect(await jobs(server.adminKey)).toEqual({ queued: 0, running: 1 });
    expect(await jobs(await server.otherProject('curious'))).toEqual({ queued: 0, running: 0 });
    const cancelled = await server.call('POST', `/v1/fine_tuning/jobs/${json.id}/cancel`);
    expect(cancelled.json).toMatchObject({ status: 'cancelled', fine_tuned_model: null });
    const twice = await server.call('POST', `/v1/fine_tuning/jobs/${json.id}/cancel`);
    expect(twice.status).toBe(409);
    await sleep(300);
    const { step } = (await get(json.id)).corral.figures;
    await sleep(300);
    expect((await get(json.id)).corral.figures.step).toBe(step);
    expect(fake.trained).toEqual([]);
  });

  it('fails, with the model registered but unproven, when parity fails', async () => {
    await start();
    fake.next.passed = false;
    const made = await create({});
    await expect(until(made.json.id, 'succeeded')).rejects.toThrow('parity_failed');
    expect(fake.trained[0]?.parity.passed).toBe(false);
    expect((await get(made.json.id)).error.message).toContain('scale of the adapter');
  });

  it('tries again where the database was away for a moment, before and after the check', async () => {
    await start();
    const lost = (): Error => new Error('Connection terminated unexpectedly');
    fake.next.baseErrors = [null, lost(), null, lost()];
    const made = await create({});
    await until(made.json.id, 'succeeded');
    expect(fake.next.baseErrors).toEqual([]);
  });

  it('repeats the proof, not the training, when the engine fails', async () => {
    await start();
    fake.next.error = new Error('the engine crashed');
    const made = await create({});
    const job = await until(made.json.id, 'succeeded');
    const starts = (await events(job.id)).filter(({ message }) =>
      message.startsWith('Training started'),
    );
    expect(starts).toHaveLength(1);
  });

  it('fails at once, without another try, when the proof can never be made', async () => {
    await start();
    fake.next.error = new CorralError('model_unsupported', {
      params: { path: 'tiny', reason: 'it has no file to serve' },
    });
    const made = await create({});
    await expect(until(made.json.id, 'succeeded')).rejects.toThrow('model_unsupported');
    expect((await get(made.json.id)).corral.attempts).toBe(0);
  });

  it('is refused before it is made on a base that cannot be served', async () => {
    await start();
    fake.next.unservable = 'serving needs GGUF';
    const { status, json } = await create({});
    expect([status, json.error.code, json.error.param]).toEqual([
      400,
      'model_unsupported',
      'model',
    ]);
    expect(json.error.message).toContain('serving needs GGUF');
    expect((await server.call('GET', '/v1/fine_tuning/jobs')).json.data).toEqual([]);
  });

  it('survives the death of its server: the next one resumes from the checkpoint', async () => {
    await start({ training: { lease_seconds: 2 } });
    const { json } = await create({ steps: 40, stepMs: 20 });
    await untilStep(json.id, 3);
    // As after kill -9: the lease stands, the trainer is gone, nobody has said anything.
    const { database } = server.parts.platform;
    await database.db
      .updateTable('fine_tuning_jobs')
      .set((row) => ({ lease_token: row('lease_token', '+', 1) }))
      .execute();
    await until(json.id, 'succeeded');
    const messages = (await events(json.id)).map(({ message }) => message);
    expect(messages.some((text) => text.startsWith('Training resumed from step'))).toBe(true);
  }, 90_000);
});
