// Every command that talks to a server, against one that speaks the contract: result, request, exit code.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCorral, startSite } from '../fakes/harness.fake.ts';
import { examplesFor } from '../quickstart/quickstart-settings.ts';

const data = examplesFor('smollm2-135m-instruct').train;

describe('commands on a server', () => {
  it.each([
    [['status'], 'GET /api/v1/status', 'ready'],
    [['models', 'list'], 'GET /api/v1/models', 'No models yet'],
    [['models', 'pull', 'm'], 'POST /api/v1/models/pull', 'pulled m'],
    [['models', 'import', data, '--id', 'mine'], 'POST /api/v1/models/import', 'imported mine'],
    [['models', 'rm', 'm'], 'DELETE /api/v1/models/m', 'removed m'],
    [
      ['export', 'm', '--format', 'gguf', '--output', '/x/m.gguf'],
      'POST /api/v1/models/m/export',
      '/x/m.gguf  (F16, 2.0 MB)\n  Look twice.',
    ],
    [['jobs', 'list'], 'GET /v1/fine_tuning/jobs', 'No jobs yet'],
    [['deploy', 'list'], 'GET /api/v1/deployments', 'Nothing is deployed'],
    [['deploy', 'rm', 'a'], 'DELETE /api/v1/deployments/a', '"a" is gone'],
    [['keys', 'list'], 'GET /api/v1/keys', 'key_1'],
    [['keys', 'create', '--name', 'app'], 'POST /api/v1/keys', 'sk-corral-new'],
    [['keys', 'revoke', 'key_1'], 'DELETE /api/v1/keys/key_1', 'key_1 is revoked'],
    [['evidence', 'head'], 'GET /api/v1/evidence/head', 'fake.corral'],
    [['data', 'check', data, '--model', 'm'], 'POST /api/v1/data/check', 'no problem found'],
    [['data', 'stats', data, '--model', 'm'], 'POST /api/v1/data/check', '150 examples'],
    [['data', 'preview', data, '--model', 'm'], 'POST /api/v1/data/check', '⟦The dog fare'],
  ])('%j asks for %s', async (argv, request, text) => {
    await using site = await startSite();
    const ran = await site.run(...argv);
    expect(ran).toMatchObject({ code: 0 });
    expect(site.server.requests).toContain(request);
    expect(ran.out).toContain(text);
  });

  it('prints JSON and nothing else with --json', async () => {
    await using site = await startSite();
    await site.run('models', 'pull', 'm');
    for (const argv of [
      ['status'],
      ['models', 'list'],
      ['models', 'show', 'm'],
      ['keys', 'list'],
    ]) {
      const ran = await site.run(...argv, '--json');
      expect(ran.code).toBe(0);
      expect(() => void JSON.parse(ran.out)).not.toThrow();
      expect(ran.err).toBe('');
    }
  });

  it('tunes, watches, deploys and chats', async () => {
    await using site = await startSite({ answers: { 'Who?': 'Odrun Tass.' } });
    await site.run('models', 'pull', 'm');
    const tuned = await site.run('tune', 'm', data, '--suffix', 'x', '--watch', '--json');
    expect(JSON.parse(tuned.out)).toMatchObject({ status: 'succeeded', suffix: 'x' });
    const deployed = await site.run('deploy', 'ft:m:default:x:abc', '--alias', 'ferry');
    expect(deployed.out).toContain('answers as "ferry"');
    expect(await site.run('chat', 'ferry', 'Who?')).toMatchObject({
      code: 0,
      out: 'Odrun Tass.\n',
    });
    const shown = await site.run('chat', 'm', 'Who?', '--system', 'Be brief.', '--show-prompt');
    expect(shown).toMatchObject({ code: 0, out: '<system>Be brief.<user>Who?\n' });
    const prompt = await site.run('chat', 'm', 'Who?', '--show-prompt', '--json');
    expect(JSON.parse(prompt.out)).toMatchObject({ tokens: [0, 1], pieces: ['<user>', 'Who?'] });
    const asked = await site.run('chat', 'm', 'Who?', '--json');
    expect(JSON.parse(asked.out)).toMatchObject({ content: 'I ramble.', finish_reason: 'stop' });
  });

  it('tunes by the method that is typed, above the one of the configuration', async () => {
    await using site = await startSite();
    await site.run('models', 'pull', 'm');
    const sections = join(site.home, 'run.yaml');
    await writeFile(sections, 'method: qlora\nruntime: { precision: int8 }\n');
    const configOf = async (...argv: string[]) => {
      const ran = await site.run('tune', 'm', data, ...argv, '--json');
      return (JSON.parse(ran.out) as { corral: { config?: object } }).corral.config;
    };
    expect(await configOf()).toBeUndefined();
    expect(await configOf('--method', 'dpo')).toEqual({ method: 'dpo' });
    const runtime = { precision: 'int8' };
    expect(await configOf('--config', sections)).toEqual({ method: 'qlora', runtime });
    expect(await configOf('--config', sections, '--method', 'lora')).toEqual({
      method: 'lora',
      runtime,
    });
  });

  it('reports a job that fails with exit code 1 and the reason', async () => {
    await using site = await startSite({ failAtStep: 1 });
    await site.run('models', 'pull', 'm');
    const ran = await site.run('tune', 'm', data, '--watch');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('✗ The tuning did not succeed.\n  Why: Training failed');
  });

  it('pauses, resumes, cancels and shows a job', async () => {
    await using site = await startSite();
    await site.run('models', 'pull', 'm');
    await site.run('tune', 'm', data);
    expect((await site.run('jobs', 'pause', 'ftjob-1')).out).toContain('ftjob-1 is paused');
    expect((await site.run('jobs', 'resume', 'ftjob-1')).out).toContain('ftjob-1 is running');
    expect((await site.run('jobs', 'watch', 'ftjob-1')).out).toContain('3.000 → 0.500');
    const logs = await site.run('jobs', 'logs', 'ftjob-1', '--json');
    expect(JSON.parse(logs.out)).toHaveLength(3);
    expect((await site.run('jobs', 'cancel', 'ftjob-1')).out).toContain('ftjob-1 is cancelled');
    expect((await site.run('jobs', 'show', 'ftjob-1')).out).toContain('cancelled');
  });

  it('proves an entry and exports a log that verify offline, until a byte changes', async () => {
    await using site = await startSite();
    await site.run('models', 'pull', 'm');
    const log = join(site.home, 'log.jsonl');
    const proof = join(site.home, 'proof.json');
    expect(await site.run('evidence', 'export', '--output', log)).toMatchObject({ code: 0 });
    expect(await site.run('evidence', 'prove', 'm', '--output', proof)).toMatchObject({ code: 0 });
    const nowhere = { home: join(site.home, 'none') };
    for (const path of [log, proof]) {
      const ran = await runCorral(['evidence', 'verify', path], nowhere);
      expect(ran).toMatchObject({ code: 0 });
      expect(ran.out).toContain('✓ verified');
    }
    const head = join(site.home, 'head.txt');
    await writeFile(
      head,
      JSON.parse((await site.run('evidence', 'head', '--json')).out).checkpoint,
    );
    const same = await runCorral(['evidence', 'verify', proof, '--head', head], nowhere);
    expect(same).toMatchObject({ code: 0 });
    await site.run('models', 'pull', 'other');
    await writeFile(
      head,
      JSON.parse((await site.run('evidence', 'head', '--json')).out).checkpoint,
    );
    const later = await runCorral(['evidence', 'verify', proof, '--head', head], nowhere);
    expect(later.err).toContain('A proof of one entry cannot show');
    await writeFile(log, (await readFile(log, 'utf8')).replace('model.pulled', 'model.pushed'));
    const changed = await runCorral(['evidence', 'verify', log], nowhere);
    expect(changed.code).toBe(1);
    expect(changed.err).toContain('Entry 0 was changed');
  });
});

describe('bad input', () => {
  it('says where no server answers and how to start one', async () => {
    const home = await mkdtemp(join(tmpdir(), 'corral-cli-'));
    try {
      const ran = await runCorral(['status'], { home });
      expect(ran.code).toBe(1);
      expect(ran.err).toBe(
        '✗ The status could not be read.\n  Why: No Corral server answers at http://127.0.0.1:7788.\n  Do:  Start one with "corral serve".\n',
      );
    } finally {
      await rm(home, { recursive: true });
    }
  });

  it('says so when the key is wrong', async () => {
    await using site = await startSite();
    const wrong = { CORRAL_BASE_URL: site.server.url, CORRAL_API_KEY: 'sk-corral-wrong' };
    const ran = await runCorral(['status', '--json'], { home: site.home, env: wrong });
    expect(ran.code).toBe(1);
    expect(JSON.parse(ran.err)).toMatchObject({ error: { code: 'invalid_api_key' } });
    const asked = await runCorral(['chat', 'm', 'hi'], { home: site.home, env: wrong });
    expect(asked.code).toBe(1);
    expect(asked.err).toContain('is not known, expired or revoked');
  });

  it('gives the server’s reason and next step of a failed pull', async () => {
    await using site = await startSite({ pullFails: { m: 'download_failed' } });
    const ran = await site.run('models', 'pull', 'm');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('all sources are silent');
    expect(ran.err).toContain('corral models import PATH');
  });

  it('shows the rows that cannot be used, with exit code 1', async () => {
    const dataErrors = [{ row: 3, reason: 'no assistant turn', fix: 'add one' }];
    await using site = await startSite({ dataErrors });
    const ran = await site.run('data', 'check', data, '--model', 'm');
    expect(ran.code).toBe(1);
    expect(ran.out).toContain('1 of 150 rows cannot be used');
    expect(ran.out).toContain('row 3  no assistant turn');
  });

  it.each([
    [['tune', 'm', '/no/such.jsonl'], 1, 'There is no file "/no/such.jsonl"'],
    [['tune', 'm', data, '--epochs', 'many'], 2, '--epochs is "many"'],
    [
      ['tune', 'm', data, '--method', 'grpo'],
      2,
      'Allowed choices are lora, qlora, full, pretrain, dpo',
    ],
    [['data', 'check', data, '--truncate', 'some'], 2, 'Allowed choices are error, drop, cut'],
    [['serve', '--port', '70000'], 2, '--port is "70000"; a number from 1 to 65535'],
    [['keys', 'create', '--name', 'a', '--scopes', 'root'], 2, '"root" is not a scope'],
    [['models', 'show', 'none'], 1, 'The model "none" does not exist'],
    [['evidence', 'prove', 'ftjob-none'], 1, 'There is no evidence entry about "ftjob-none"'],
    [['evidence', 'verify', '/no/such'], 1, 'There is no file "/no/such"'],
    [['evidence', 'verify', data], 1, 'Neither an exported log'],
    [['quickstart', '--data', '/no/such.jsonl'], 1, 'There is no file'],
    [['data', 'check', '/no/such.jsonl'], 1, 'There is no file'],
    [['plan', 'nowhere', '--data', data], 1, '"nowhere" is neither a file nor a folder'],
    [['train', '--output', 'x'], 2, "Required option '--config <FILE>' not specified"],
    [['status', '--jsn'], 2, "Unknown option '--jsn' (Did you mean --json?)"],
  ])('%j ends with %i', async (argv, code, text) => {
    await using site = await startSite();
    const ran = await site.run(...argv);
    expect(ran.err).toContain(text);
    expect(ran.err.trimEnd().split('\n').at(-1)).toMatch(/^ {2}Do: {2}\S/);
    expect(ran.code).toBe(code);
  });
});
