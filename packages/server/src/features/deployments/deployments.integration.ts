// What answers to which name: adapters only with a certificate, aliases that turn and turn back, parity
// checked again on the engine. Every change on record.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Golden, Parity } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditFromSystem } from '../../audit/audit-log.ts';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';
import { createModelsFeature } from '../models/index.ts';
import { createDeploymentsService } from './deployments-service.ts';

let server: ServingApp;
let project: string;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
  const row = await server.parts.platform.db
    .selectFrom('projects')
    .select('id')
    .where('operator', '=', true)
    .executeTakeFirstOrThrow();
  project = row.id;
});
afterAll(() => server.close());

const certificate = (passed: boolean): Parity => ({
  prompt_tokens_equal: true,
  greedy_agreement: passed ? 1 : 0.2,
  mean_kl: passed ? 0.001 : 3,
  positions: 10,
  transcripts: 1,
  passed,
  first_difference: passed
    ? null
    : {
        transcript: 0,
        position: 1,
        expected: 2,
        found: 3,
        likely_cause: 'the adapter is not applied',
      },
  serving_format: 'Q8_0',
});

/** Transcripts that the scripted engine agrees with, or, by a token 999, does not. */
const goldenOf = (agreeing: boolean): Golden => {
  const prompt = '<user>hi\n<assistant>';
  const greedy = agreeing ? [5, 6, 7] : [5, 999, 999];
  return {
    schema: 'corral-golden/1',
    base: { sha256: 'a'.repeat(64) },
    transcripts: [
      {
        messages: [{ role: 'user', content: 'hi' }],
        prompt_tokens: Array.from(prompt, (letter) => letter.codePointAt(0) ?? 0),
        greedy_tokens: greedy,
        top_logprobs: greedy.map((token) => [[token, Math.log(0.9)]]),
      },
    ],
  };
};

let made = 0;
interface MadeOptions {
  readonly passed?: boolean;
  readonly agreeing?: boolean;
  readonly kind?: 'adapter' | 'model';
  readonly trainedOn?: string;
}
/** Registers what a finished run would have made. */
async function addAdapter(options: MadeOptions = {}): Promise<string> {
  const { passed = true, agreeing = true, kind = 'adapter', trainedOn = 'tiny' } = options;
  const id = `ft:tiny:default:test:${++made}`;
  const ggufPath = join(server.home, `${made}.gguf`);
  const goldenPath = join(server.home, `${made}.golden.json`);
  await writeFile(ggufPath, id);
  await writeFile(goldenPath, JSON.stringify(goldenOf(agreeing)));
  const { platform } = server.parts;
  const unused = (): never => {
    throw new Error('not part of registering');
  };
  const models = createModelsFeature({
    ...platform,
    operations: { begin: unused, get: unused, recover: unused, close: unused },
    engines: { quantise: unused, unload: unused },
    folder: platform.home.models,
    deployments: createDeploymentsService(platform),
  });
  const sha256 = `${made}`.repeat(64).slice(0, 64);
  const gguf = { sha256, bytes: 10, path: ggufPath };
  await platform.db.transaction().execute((tx) =>
    models.service.registerTrained(
      tx,
      {
        id,
        project,
        trainedOn,
        jobId: `ftjob-${made}`,
        result:
          kind === 'adapter'
            ? { kind, gguf }
            : {
                kind,
                weights: { sha256: `a${sha256.slice(1)}`, bytes: 40, format: 'F32', parameters: 9 },
                gguf: { ...gguf, format: 'Q8_0' },
              },
        folder: server.home,
        goldenPath,
        parity: certificate(passed),
      },
      auditFromSystem('trainer', project),
    ),
  );
  await models.close?.();
  return id;
}

const ask = async (model: string, key = server.adminKey) => {
  const body = { model, messages: [{ role: 'user', content: 'say hi' }] };
  const answer = await server.call('POST', '/v1/chat/completions', { key, body });
  return answer.json.choices?.[0].message.content ?? answer.json.error.code;
};
const deploy = (body: object) => server.call('POST', '/api/v1/deployments', { body });
const at = (name: string, rest = '') => `/api/v1/deployments/${encodeURIComponent(name)}${rest}`;

describe('a fine-tuned model', () => {
  test('answers at once when its certificate passed, with its lineage', async () => {
    const id = await addAdapter();
    expect(await ask(id)).toMatch(/^\[\d{4}\] hi$/);
    expect(await ask('tiny')).toBe('hi');
    const { json } = await server.call('GET', `/api/v1/models/${encodeURIComponent(id)}`);
    expect(json).toMatchObject({
      kind: 'adapter',
      base: 'tiny',
      deployed: true,
      job_id: `ftjob-${made}`,
      license: { id: 'Apache-2.0' },
      parity: { passed: true },
    });
    const actions = (await server.audit()).slice(-2);
    expect(actions).toMatchObject([
      { action: 'model.registered', after: { base: 'tiny', license: { id: 'Apache-2.0' } } },
      { action: 'deployment.created', resource: { id }, actor: { kind: 'system' } },
    ]);
  });

  test('does not answer, and cannot be deployed, without one', async () => {
    const id = await addAdapter({ passed: false });
    expect(await ask(id)).toBe('model_not_found');
    const refused = await deploy({ model: id, alias: 'bad' });
    expect([refused.status, refused.json.error.code]).toEqual([409, 'parity_failed']);
    expect(refused.json.error.message).toContain('not applied');
  });

  test('belongs to its project', async () => {
    const id = await addAdapter();
    const key = await server.otherProject('guest', ['inference', 'read', 'admin']);
    expect(await ask(id, key)).toBe('model_not_found');
    expect((await server.call('GET', `/v1/models/${encodeURIComponent(id)}`, { key })).status).toBe(
      404,
    );
    const taken = await server.call('POST', '/api/v1/deployments', { key, body: { model: id } });
    expect(taken.status).toBe(404);
  });

  test('keeps its base, and goes with its own name', async () => {
    const id = await addAdapter();
    expect((await server.call('DELETE', '/v1/models/tiny')).json.error.code).toBe('conflict');
    await deploy({ model: id, alias: 'holder' });
    const path = `/v1/models/${encodeURIComponent(id)}`;
    expect((await server.call('DELETE', path)).json.error.message).toContain('holder');
    await server.call('DELETE', at('holder'));
    expect((await server.call('DELETE', path)).json).toMatchObject({ deleted: true });
    expect(await ask(id)).toBe('model_not_found');
  });
});

describe('a model whose every weight was trained', () => {
  test('is a model of its own, in its project, with its line on record', async () => {
    const id = await addAdapter({ kind: 'model' });
    const { json } = await server.call('GET', `/api/v1/models/${encodeURIComponent(id)}`);
    expect(json).toMatchObject({
      kind: 'base',
      base: null,
      derived_from: 'tiny',
      deployed: true,
      format: 'F32',
      serving_format: 'Q8_0',
      license: { id: 'Apache-2.0' },
    });
    expect(await ask(id)).toBe('hi');
    const [registered] = (await server.audit()).slice(-2);
    expect(registered).toMatchObject({ after: { kind: 'base', derived_from: 'tiny' } });
    const key = await server.otherProject('stranger', ['inference', 'read']);
    expect(await ask(id, key)).toBe('model_not_found');
  });

  test('does not answer without a passed certificate, and cannot be trained on', async () => {
    const id = await addAdapter({ kind: 'model', passed: false });
    expect(await ask(id)).toBe('model_not_found');
    expect((await deploy({ model: id })).json.error.code).toBe('parity_failed');
    const body = { model: id, training_file: 'file-x' };
    const refused = await server.call('POST', '/v1/fine_tuning/jobs', { body });
    expect(refused.json.error).toMatchObject({ code: 'invalid_request', param: 'model' });
  });

  test('carries adapters, and stays while they do', async () => {
    const whole = await addAdapter({ kind: 'model' });
    const adapter = await addAdapter({ trainedOn: whole });
    const next = await addAdapter({ trainedOn: adapter });
    const { json } = await server.call('GET', `/api/v1/models/${encodeURIComponent(next)}`);
    expect(json).toMatchObject({ kind: 'adapter', base: whole, derived_from: adapter });
    const remove = (id: string) => server.call('DELETE', `/v1/models/${encodeURIComponent(id)}`);
    expect((await remove(whole)).json.error.message).toContain('base of 2');
    for (const id of [next, adapter, whole])
      expect((await remove(id)).json).toMatchObject({ deleted: true });
    expect(await ask(whole)).toBe('model_not_found');
  });
});

describe('an alias', () => {
  test('does not tell which models other projects have', async () => {
    const theirs = await addAdapter();
    const key = await server.otherProject('curious', ['admin']);
    const answer = await server.call('POST', '/api/v1/deployments', {
      key,
      body: { model: 'tiny', alias: theirs },
    });
    expect(answer.status).toBeLessThan(300);
  });

  test('turns from model to model and back, each turn on record', async () => {
    const [first, second] = [await addAdapter(), await addAdapter()];
    const created = await deploy({ model: first, alias: 'support' });
    expect(created.status).toBe(201);
    expect(created.json).toMatchObject({ name: 'support', model: first, base: 'tiny' });
    const answer = await ask('support');
    expect(await ask(first)).toBe(answer);
    await deploy({ model: second, alias: 'support' });
    expect(await ask('support')).not.toBe(answer);
    const back = await server.call('POST', at('support', '/rollback'));
    expect(back.json).toMatchObject({ model: first, previous_model: second });
    expect(await ask('support')).toBe(answer);
    expect((await server.audit()).at(-1)).toMatchObject({
      action: 'deployment.rolled_back',
      before: { model: second },
      after: { model: first },
    });
    const names = await server.call('GET', '/v1/models');
    expect(names.json.data.map(({ id }: { id: string }) => id)).toContain('support');
    const listed = await server.call('GET', '/api/v1/deployments');
    expect(listed.json.data).toContainEqual(expect.objectContaining({ name: 'support' }));
  });

  test('has nowhere to turn back to at first, is no model id, and can be removed', async () => {
    await deploy({ model: 'tiny', alias: 'plain' });
    expect((await server.call('POST', at('plain', '/rollback'))).json.error.code).toBe('conflict');
    expect((await deploy({ model: await addAdapter(), alias: 'tiny' })).json.error.code).toBe(
      'conflict',
    );
    expect((await server.call('DELETE', at('plain'))).status).toBe(200);
    expect(await ask('plain')).toBe('model_not_found');
    expect((await server.call('DELETE', at('plain'))).status).toBe(404);
  });
});

describe('a pinned deployment', () => {
  const statusOf = async (base: string) =>
    (await server.engines()).find((engine) => engine.base === base);

  test('has its base loaded and kept, until it is gone', async () => {
    await server.addBase('kept');
    const made = await deploy({ model: 'kept', alias: 'always', pinned: true });
    expect(made.json).toMatchObject({ name: 'always', pinned: true });
    await expect
      .poll(() => statusOf('kept'), { timeout: 20_000 })
      .toMatchObject({ state: 'ready', pinned: true });
    // Deployed again without a word about it, it stays as it was.
    expect((await deploy({ model: 'kept', alias: 'always' })).json.pinned).toBe(true);
    await deploy({ model: 'kept', alias: 'always', pinned: false });
    expect(await statusOf('kept')).toMatchObject({ pinned: false });
    await deploy({ model: 'kept', alias: 'always', pinned: true });
    expect(await statusOf('kept')).toMatchObject({ pinned: true });
    await server.call('DELETE', at('always'));
    expect(await statusOf('kept')).toMatchObject({ pinned: false });
  });

  test('is the operator’s to make: the memory is everybody’s', async () => {
    const key = await server.otherProject('greedy', ['admin']);
    const body = { model: 'tiny', alias: 'mine', pinned: true };
    const refused = await server.call('POST', '/api/v1/deployments', { key, body });
    expect(refused.json.error.code).toBe('permission_denied');
    const { pinned: _, ...unpinned } = body;
    const taken = await server.call('POST', '/api/v1/deployments', { key, body: unpinned });
    expect(taken.json).toMatchObject({ name: 'mine', pinned: false });
  });
});

describe('a parity check', () => {
  const recheck = async (id: string) =>
    server.operation(await server.call('POST', `/api/v1/models/${encodeURIComponent(id)}/parity`));

  test('replays the transcripts and keeps the certificate', async () => {
    const id = await addAdapter({ passed: false });
    const operation = await recheck(id);
    expect(operation).toMatchObject({
      kind: 'parity',
      status: 'succeeded',
      result: { model: id, parity: { passed: true, greedy_agreement: 1, positions: 3 } },
    });
    expect((await server.audit()).at(-1)).toMatchObject({
      action: 'model.parity_checked',
      outcome: 'ok',
    });
    expect((await deploy({ model: id })).status).toBe(201);
  });

  test('that fails is kept too, and closes the way to new deployments', async () => {
    const id = await addAdapter({ agreeing: false });
    const operation = await recheck(id);
    expect(operation.result).toMatchObject({
      parity: { passed: false, first_difference: { transcript: 0, position: 1, expected: 999 } },
    });
    expect((await deploy({ model: id, alias: 'x' })).json.error.code).toBe('parity_failed');
  });

  test('needs transcripts', async () => {
    const refused = await server.call('POST', '/api/v1/models/tiny/parity');
    expect(refused.json.error.code).toBe('invalid_request');
    const id = await addAdapter();
    await writeFile(join(server.home, `${made}.golden.json`), '{}');
    expect((await recheck(id)).error?.code).toBe('model_file_invalid');
  });
});
