// The command as a process: its entry, its signals, and the example programs against a server that
// speaks the contract.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { fakeKey } from './fakes/server.fake.ts';
import { startSite } from './fakes/harness.fake.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = `${root}packages/cli/bin/corral.mjs`;
const run = promisify(execFile);
const environment = (home: string) => ({ ...process.env, CORRAL_HOME: home, NO_COLOR: '1' });

describe('corral as a process', () => {
  it('prints a result on stdout and ends with 0', async () => {
    await using site = await startSite();
    const { stdout, stderr } = await run(process.execPath, [bin, 'status', '--json'], {
      env: environment(site.home),
    });
    expect(JSON.parse(stdout)).toMatchObject({ ready: true, home: site.home });
    expect(stderr).toBe('');
  });

  it('ends with 2 when it is misused', async () => {
    const failed = run(process.execPath, [bin, 'nonsense'], { env: environment('/nonexistent') });
    await expect(failed).rejects.toMatchObject({ code: 2, stdout: '' });
  });

  it('ends with 130 on Ctrl-C, also when it comes twice at once', async () => {
    await using site = await startSite({ steps: 1_000_000 });
    await site.run('models', 'pull', 'm');
    await site.run('tune', 'm', `${root}examples/quickstart/train.jsonl`);
    const child = spawn(process.execPath, [bin, 'jobs', 'watch', 'ftjob-1'], {
      env: environment(site.home),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await once(child.stderr, 'data');
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });
});

describe('the example programs', () => {
  const example = async (site: Awaited<ReturnType<typeof startSite>>, ...args: string[]) => {
    const env = {
      ...environment(site.home),
      OPENAI_BASE_URL: `${site.server.url}/v1`,
      OPENAI_API_KEY: fakeKey,
    };
    const [name = '', ...rest] = args;
    return (await run(process.execPath, [`${root}examples/openai-node/${name}`, ...rest], { env }))
      .stdout;
  };

  it('fine-tune, and ask', async () => {
    await using site = await startSite({ steps: 1, answers: { 'Dog fare?': 'It is 3 tallows.' } });
    await site.run('models', 'pull', 'm');
    const tuned = await example(
      site,
      'fine-tune.ts',
      'm',
      `${root}examples/quickstart/train.jsonl`,
    );
    expect(tuned).toBe('ftjob-1\nsucceeded ft:m:default:example:abc\n');
    const said = await example(site, 'ask.ts', 'ft:m:default:example:abc', 'Dog fare?');
    expect(said).toBe('It is 3 tallows.\n');
  });
});
