// A real Corral server as a child process in its own home: what a test needs to start it, kill it and
// start it again. Knows only the environment, credentials.json and HTTP.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Credentials, FineTuningJob, Operation } from '@corral/contracts';
import OpenAI from 'openai';

export const newHome = (): string => mkdtempSync(join(tmpdir(), 'corral-e2e-'));
export const removeHome = (home: string): void => {
  rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
};

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      probe.close(() => {
        resolve(port);
      });
    });
  });

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until `probe` gives a value; fails with what was waited for. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  { seconds = 120, everyMs = 200 }: { readonly seconds?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await sleep(everyMs);
  }
  throw new Error(`waited ${seconds} s for ${what}`, { cause: last });
}

export interface RunningServer {
  readonly child: ChildProcess;
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly output: () => string;
  readonly client: OpenAI;
  api<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Resolves with the exit code, or null after a signal. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export async function startServer(
  home: string,
  env: Record<string, string> = {},
): Promise<RunningServer> {
  const port = await freePort();
  const main = fileURLToPath(import.meta.resolve('@corral/server/main'));
  const child = spawn(process.execPath, [main], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, CORRAL_HOME: home, CORRAL_PORT: String(port), ...env },
  });
  let text = '';
  const collect = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const baseUrl = `http://127.0.0.1:${port}`;
  await until(`the server to be ready\n${text}`, async () => {
    if (child.exitCode !== null) throw new Error(`server left with ${child.exitCode}: ${text}`);
    return (await fetch(`${baseUrl}/readyz`)).ok || undefined;
  });
  const credentials = JSON.parse(
    readFileSync(join(home, 'credentials.json'), 'utf8'),
  ) as Credentials;
  const headers = {
    authorization: `Bearer ${credentials.api_key}`,
    'content-type': 'application/json',
  };
  return {
    child,
    baseUrl,
    apiKey: credentials.api_key,
    output: () => text,
    client: new OpenAI({ apiKey: credentials.api_key, baseURL: `${baseUrl}/v1`, maxRetries: 5 }),
    async api<T>(method: string, path: string, body?: unknown) {
      const response = await fetch(baseUrl + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer: unknown = await response.json();
      if (!response.ok)
        throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer as T;
    },
    stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return exited;
    },
  };
}

/** Pulls a model to its end. Throws when it fails. */
export async function pullModel({ api }: RunningServer, ref: string): Promise<void> {
  const { id } = await api<Operation>('POST', '/api/v1/models/pull', { ref });
  const { error } = await until('the pull', async () => {
    const now = await api<Operation>('GET', `/api/v1/operations/${id}`);
    return now.status === 'running' ? undefined : now;
  });
  if (error !== null) throw new Error(`the pull of ${ref} failed: ${JSON.stringify(error)}`);
}

/** The job with Corral's own fields, which the types of OpenAI's client do not know. */
export const jobOf = async ({ client }: RunningServer, id: string): Promise<FineTuningJob> =>
  (await client.fineTuning.jobs.retrieve(id)) as unknown as FineTuningJob;

/** The job when it has ended, however it did. */
export const endedJob = (
  server: RunningServer,
  id: string,
  options: { readonly seconds?: number } = {},
): Promise<FineTuningJob> =>
  until(
    'the job to end',
    async () => {
      const job = await jobOf(server, id);
      return ['succeeded', 'failed', 'cancelled'].includes(job.status) ? job : undefined;
    },
    options,
  );

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `corral ARGS` with `home` as CORRAL_HOME, to its end. */
export function corral(home: string, ...args: readonly string[]): Promise<CommandResult> {
  const bin = fileURLToPath(new URL('../../../packages/cli/bin/corral.mjs', import.meta.url));
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CORRAL_HOME: home },
    });
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, ...text });
    });
  });
}
