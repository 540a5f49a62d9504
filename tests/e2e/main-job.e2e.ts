// The main job on the whole system at toy size: the official client uploads rows, a run is killed with
// its server and with its trainer and goes on, the tuned model is proven and served, and the
// evidence verifies offline.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Deployment, FineTuningJob, ModelDetail } from '@corral/contracts';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  corral,
  endedJob,
  jobOf,
  newHome,
  pullModel,
  removeHome,
  startServer,
  until,
  type RunningServer,
} from './support/server-process.ts';

const rows = fileURLToPath(new URL('../../examples/quickstart/train.jsonl', import.meta.url));
const base = 'rehearsal';

/** Process ids of trainer children of `parent`, by the process table. */
function trainerPids(parent: number): number[] {
  const table = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return table
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .filter(([, , ppid, args]) => Number(ppid) === parent && /trainer/.test(args ?? ''))
    .map(([, pid]) => Number(pid));
}

describe('the main job', () => {
  const home = newHome();
  let server: RunningServer;

  const job = (id: string): Promise<FineTuningJob> => jobOf(server, id);
  const stepOf = (state: FineTuningJob): number => state.corral.figures?.step ?? 0;

  beforeAll(async () => {
    server = await startServer(home);
  });
  afterAll(async () => {
    await server.stop();
    removeHome(home);
  });

  it('pulls the shipped model', async () => {
    await pullModel(server, base);
    const models = await server.client.models.list();
    expect(models.data.map((model) => model.id)).toContain(base);
  });

  it('tunes through kill -9 of trainer and server, proves, deploys and answers', async () => {
    const file = await server.client.files.create({
      file: await toFile(readFileSync(rows), 'train.jsonl'),
      purpose: 'fine-tune',
    });
    // The client passes Corral's own key through; its types do not know it.
    const corralKey: object = {
      corral: { config: { train: { epochs: 6 }, checkpoint: { every_steps: 5 } } },
    };
    const created = await server.client.fineTuning.jobs.create({
      model: base,
      training_file: file.id,
      suffix: 'e2e',
      seed: 7,
      ...corralKey,
    });
    await until('ten steps', async () => (stepOf(await job(created.id)) >= 10 ? true : undefined));

    const [trainer] = trainerPids(server.child.pid ?? -1);
    expect(trainer).toBeDefined();
    process.kill(trainer ?? -1, 'SIGKILL');
    await until('the trainer to come back', async () => {
      const [next] = trainerPids(server.child.pid ?? -1);
      return next !== undefined && next !== trainer ? true : undefined;
    });

    await server.stop('SIGKILL');
    server = await startServer(home);

    const finished = await endedJob(server, created.id, { seconds: 400 });
    expect(finished.error).toBeNull();
    expect(finished.status).toBe('succeeded');
    expect(finished.corral.parity).toMatchObject({ prompt_tokens_equal: true, passed: true });
    const figures = finished.corral.figures;
    expect(figures?.loss_after ?? Infinity).toBeLessThan(figures?.loss_before ?? 0);

    const model = finished.fine_tuned_model ?? '';
    const question = { messages: [{ role: 'user' as const, content: 'Hello?' }], model, seed: 1 };
    const whole = await server.client.chat.completions.create({
      ...question,
      temperature: 0,
      max_tokens: 16,
    });
    const stream = await server.client.chat.completions.create({
      ...question,
      temperature: 0,
      max_tokens: 16,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage?.completion_tokens ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(usage).toBe(whole.usage?.completion_tokens);

    const detail = await server.api<ModelDetail>(
      'GET',
      `/api/v1/models/${encodeURIComponent(model)}`,
    );
    expect(detail).toMatchObject({ kind: 'adapter', base, deployed: true, job_id: created.id });
    const deployed = await server.api<Deployment>('POST', '/api/v1/deployments', {
      model,
      alias: 'harbour',
    });
    expect(deployed.name).toBe('harbour');
    const byAlias = await server.client.chat.completions.create({
      ...question,
      model: 'harbour',
      temperature: 0,
      max_tokens: 16,
    });
    expect(byAlias.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
  });

  it('leaves evidence that verifies offline, and not after one changed byte', async () => {
    const path = join(home, 'evidence.json');
    expect(await corral(home, 'evidence', 'export', '--output', path)).toMatchObject({ code: 0 });
    const actions = ['model.pulled', 'fine_tuning_job.created', 'fine_tuning_job.succeeded'];
    const text = readFileSync(path, 'utf8');
    for (const action of actions) expect(text).toContain(action);

    await server.stop();
    expect(await corral(home, 'evidence', 'verify', path)).toMatchObject({ code: 0 });
    const bytes = readFileSync(path);
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const refused = await corral(home, 'evidence', 'verify', path);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('does not verify');
  });
});
