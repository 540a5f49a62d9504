// The server as a process, on its own Postgres, as whoever runs the tests (root included): start, refusals,
// kill -9, orderly stop.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const main = fileURLToPath(import.meta.resolve('@corral/server/main'));
const fakeMain = fileURLToPath(
  new URL('../../packages/server/src/testing/main.fake.ts', import.meta.url),
);
interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  readonly output: () => string;
}

let home: string;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  home = await mkdtemp('/tmp/corral-test-e2e-');
});
afterEach(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
    await ended(child);
  }
  const database = postmaster();
  const sockets = postmasterLine(4);
  if (database !== null && isAlive(database)) process.kill(database, 'SIGQUIT');
  for (let tries = 0; database !== null && isAlive(database) && tries < 200; tries += 1)
    await sleep(25);
  if (sockets !== '') await rm(sockets, { recursive: true, force: true });
  await rm(home, { recursive: true, force: true });
});

function launch(
  environment: Record<string, string>,
  entry = main,
): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [entry], {
    env: { PATH: process.env['PATH'] ?? '', CORRAL_HOME: home, CORRAL_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  child.once('exit', () => children.delete(child));
  return { child, output: () => text };
}

async function start(environment: Record<string, string> = {}, entry = main): Promise<Started> {
  const { child, output } = launch(environment, entry);
  for (let tries = 0; tries < 1200; tries += 1) {
    const url = /ready at (\S+)/.exec(output())?.[1];
    if (url !== undefined) return { child, url, output };
    if (child.exitCode !== null) break;
    await sleep(50);
  }
  throw new Error(`The server did not start: ${output()}`);
}

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode === null && child.signalCode === null
    ? new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    : Promise.resolve(child.exitCode);

/** Exit code and everything it printed. */
async function runToEnd(
  environment: Record<string, string>,
): Promise<{ code: number | null; text: string }> {
  const { child, output } = launch(environment);
  const code = await ended(child);
  await sleep(50);
  return { code, text: output() };
}

const credentials = (): { base_url: string; api_key: string } =>
  JSON.parse(readFileSync(join(home, 'credentials.json'), 'utf8')) as never;

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
async function call(method: string, path: string, body?: object | FormData): Promise<any> {
  const { base_url, api_key } = credentials();
  const isForm = body instanceof FormData;
  const response = await fetch(base_url + path, {
    method,
    headers: {
      authorization: `Bearer ${api_key}`,
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  });
  return response.json();
}

async function upload(text: string): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([text]), 'train.jsonl');
  return (await call('POST', '/v1/files', form)).id;
}

function postmasterLine(line: number): string {
  const path = join(home, 'postgres', 'data', 'postmaster.pid');
  return existsSync(path) ? (readFileSync(path, 'utf8').split('\n')[line] ?? '') : '';
}
const postmaster = (): number | null => Number(postmasterLine(0)) || null;
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false;
  }
}

describe('corral server', () => {
  it('starts on its own Postgres, keeps its state through kill -9, and stops cleanly', async () => {
    const first = await start();
    expect(first.output()).toContain(credentials().api_key);
    expect(statSync(join(home, 'credentials.json')).mode & 0o777).toBe(0o600);
    expect(credentials().base_url).toBe(first.url);
    expect(await call('GET', '/api/v1/status')).toMatchObject({
      ready: true,
      home,
      database: { kind: 'embedded' },
    });
    const file = await upload('{"a":1}\n');

    const second = await runToEnd({});
    expect(second.code).toBe(1);
    expect(second.text.trim().split('\n')).toHaveLength(1);
    expect(second.text).toContain(
      `Another Corral server (process ${first.child.pid}) already uses ${home}`,
    );

    const key = credentials().api_key;
    const database = postmaster();
    first.child.kill('SIGKILL');
    await ended(first.child);
    expect(database !== null && isAlive(database)).toBe(true);

    const again = await start();
    expect(postmaster()).toBe(database);
    expect(again.output()).not.toContain('sk-corral-');
    expect(credentials()).toEqual({ base_url: again.url, api_key: key });
    expect(await call('GET', `/v1/files/${file}`)).toMatchObject({ id: file, bytes: 8 });

    const sockets = postmasterLine(4);
    expect(existsSync(sockets)).toBe(true);
    again.child.kill('SIGTERM');
    expect(await ended(again.child)).toBe(0);
    expect(postmaster()).toBeNull();
    expect(database !== null && isAlive(database)).toBe(false);
    expect(existsSync(join(sockets, '.s.PGSQL.5432'))).toBe(false);
  });

  it('takes up a training run after kill -9, from its checkpoint', async () => {
    const first = await start({}, fakeMain);
    const script = { steps: 60, stepMs: 50, checkpointEvery: 5 };
    const training_file = await upload(`${JSON.stringify({ script })}\n{}\n`);
    const { id } = await call('POST', '/v1/fine_tuning/jobs', { model: 'tiny', training_file });
    const job = async () => call('GET', `/v1/fine_tuning/jobs/${id}`);
    for (let tries = 0; tries < 600 && ((await job()).corral.figures?.step ?? 0) < 10; tries += 1)
      await sleep(50);
    first.child.kill('SIGKILL');
    await ended(first.child);

    const again = await start({}, fakeMain);
    let last = await job();
    for (let tries = 0; tries < 600 && last.status !== 'succeeded'; tries += 1) {
      await sleep(50);
      last = await job();
    }
    expect(last).toMatchObject({ status: 'succeeded', error: null, trained_tokens: 1500 });
    const events = await call('GET', `/v1/fine_tuning/jobs/${id}/events?limit=1000`);
    const messages = events.data.map((event: { message: string }) => event.message);
    expect(messages.some((text: string) => text.startsWith('Training resumed from step'))).toBe(
      true,
    );
    const bundle = await call('GET', '/api/v1/evidence/export');
    expect(bundle.leaves.length).toBeGreaterThan(5);
    again.child.kill('SIGTERM');
    expect(await ended(again.child)).toBe(0);
  });

  it('brings its database back when that is killed', async () => {
    const { child, output } = await start();
    const file = await upload('{}');
    const database = postmaster() ?? 0;
    process.kill(database, 'SIGKILL');
    const isBack = async (): Promise<boolean> =>
      ![null, database].includes(postmaster()) &&
      (await fetch(`${credentials().base_url}/readyz`)).ok;
    let back = false;
    for (let tries = 0; tries < 400 && !back; tries += 1) {
      await sleep(50);
      back = await isBack();
    }
    expect([back, child.exitCode, output()]).toEqual([true, null, expect.anything()]);
    expect((await call('GET', `/v1/files/${file}`)).id).toBe(file);
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
  });

  it('leaves no child behind when it is stopped while it starts', async () => {
    const { child } = launch({});
    for (let tries = 0; tries < 600 && !existsSync(join(home, 'server.lock')); tries += 1)
      await sleep(10);
    child.kill('SIGINT');
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
    expect(postmaster()).toBeNull();
    expect(existsSync(join(home, 'server.lock'))).toBe(false);
  });

  it('says in one line that a port is taken, and which is free', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const { code, text } = await runToEnd({ CORRAL_PORT: String(port) });
    other.close();
    expect(code).toBe(1);
    expect(text.trim().split('\n')).toHaveLength(1);
    expect(text).toMatch(new RegExp(`Port ${port} .* taken .*--port \\d+`));
  });

  it('says in one line that the database does not answer, or a setting is wrong', async () => {
    const unreachable = await runToEnd({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' });
    expect(unreachable.code).toBe(1);
    expect(unreachable.text).toMatch(/^The database cannot be reached: .*DATABASE_URL.*\n$/);
    const misused = await runToEnd({ CORRAL_PORT: 'many' });
    expect(misused.code).toBe(2);
    expect(misused.text).toContain('port');
    expect(existsSync(join(home, 'server.lock'))).toBe(false);
  });
});
