// The whole of Corral as a peer: its server in a home of its own, with its policy, serving one imported model.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:net';
import { processUsage } from './engine-peer.ts';
import type { HttpTarget } from './http-stream.ts';

export interface CorralServerOptions {
  readonly home: string;
  readonly model: string;
  readonly context: number;
  readonly streams: number;
  readonly threads: number;
  readonly settings?: Record<string, string>;
}

export interface CorralServerPeer extends AsyncDisposable {
  readonly target: HttpTarget;
  /** The server itself, and its engine child once it runs. */
  pids(): { server: number; engine: number };
  usage(): { server: ReturnType<typeof processUsage>; engine: ReturnType<typeof processUsage> };
}

const modelId = 'bench';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + 120_000;
  while (performance.now() < end) {
    const found = await probe().catch(() => undefined);
    if (found !== undefined) return found;
    await sleep(100);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** The child of `pid` that is an engine, by its title. */
function engineOf(pid: number | undefined): number {
  const table = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  const line = table
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .find(
      ([, parent, ...args]) => Number(parent) === pid && args.join(' ').includes('corral-engine'),
    );
  return Number(line?.[0] ?? 0);
}

async function importModel(url: string, apiKey: string, path: string): Promise<void> {
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  const models = await fetch(`${url}/api/v1/models/${modelId}`, { headers });
  if (models.ok) return;
  const body = JSON.stringify({ path, id: modelId });
  const started = await fetch(`${url}/api/v1/models/import`, { method: 'POST', headers, body });
  if (!started.ok) throw new Error(await started.text());
  await until('the import', async () => {
    const model = await fetch(`${url}/api/v1/models/${modelId}`, { headers });
    return model.ok || undefined;
  });
}

export async function startCorralServer(options: CorralServerOptions): Promise<CorralServerPeer> {
  const { home, model, context, streams, threads, settings = {} } = options;
  const port = await freePort();
  const child = spawn(
    process.execPath,
    [fileURLToPath(import.meta.resolve('@corral/server/main'))],
    {
      stdio: 'ignore',
      env: {
        ...process.env,
        CORRAL_HOME: home,
        CORRAL_PORT: String(port),
        CORRAL_ENGINE_N_CTX: String(context),
        CORRAL_ENGINE_N_SEQ_MAX: String(streams),
        CORRAL_ENGINE_N_THREADS: String(threads),
        ...settings,
      },
    },
  );
  const url = `http://127.0.0.1:${port}`;
  await until('the server', async () => ((await fetch(`${url}/readyz`)).ok ? true : undefined));
  const credentials = JSON.parse(readFileSync(`${home}/credentials.json`, 'utf8')) as {
    api_key: string;
  };
  await importModel(url, credentials.api_key, model);
  return {
    target: { name: 'corral', url, model: modelId, apiKey: credentials.api_key, extra: {} },
    // 0 while there is none.
    pids: () => ({ server: child.pid ?? 0, engine: engineOf(child.pid) }),
    usage: () => ({
      server: processUsage(child.pid),
      engine: processUsage(engineOf(child.pid)),
    }),
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    },
  };
}
