// A Corral server as a child of the command line: started, waited for, told its address and key. Knows
// the server's entry, its environment and its credentials file; nothing of its inside.
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CorralError, type Credentials } from '@corral/contracts';
import { createCorralClient } from '@corral/sdk';
import type { Child } from './children.ts';
import { findServer, readCredentials, type Context } from './context.ts';
import { CommandError } from './failures.ts';

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** Lines of the server's stderr, for a person. */
  readonly onLine?: (line: string) => void;
}

export interface StartedServer {
  readonly child: Child;
  readonly credentials: Credentials;
  /** This start made the admin key: it is to be shown, once. */
  readonly firstKey: boolean;
}

// Running requests get shutdown_seconds (10 by default); then engines, trainer and database end.
const graceMs = 30_000;
// The first start creates the database; on a busy machine that takes half a minute.
const startSeconds = 120;
const pollMs = 100;

export const localUrl = (host: string, port: number): string => {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
};

/** A TCP port of the loopback interface that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

/** The server that already runs on this CORRAL_HOME and answers, or null. */
export async function runningServer(context: Context): Promise<Credentials | null> {
  const known = await findServer(context);
  if (known === null) return null;
  const client = createCorralClient({ baseUrl: known.base_url, apiKey: known.api_key });
  try {
    const { ready, home } = await client.status({ signal: AbortSignal.timeout(3_000) });
    // Another server may have taken the port since; only the one of this home is ours.
    return ready && home === context.home ? known : null;
  } catch (error) {
    if (CorralError.isInstance(error)) return null;
    throw error;
  }
}

/**
 * Starts a server and waits until it is ready.
 * @throws CommandError with the server's own words when it ends before.
 */
export async function startServer(
  context: Context,
  { host, port, onLine }: ServerOptions,
): Promise<StartedServer> {
  const before = await readCredentials(context.home);
  const entry = fileURLToPath(import.meta.resolve('@corral/server/main'));
  const child = context.children.spawn(process.execPath, [entry], {
    env: {
      ...context.env,
      CORRAL_HOME: context.home,
      CORRAL_HOST: host,
      CORRAL_PORT: String(port),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    graceMs,
  });
  const words: string[] = [];
  if (child.process.stderr) {
    createInterface({ input: child.process.stderr }).on('line', (line) => {
      words.push(line);
      if (words.length > 50) words.shift();
      onLine?.(line);
    });
  }
  const baseUrl = localUrl(host, port);
  const client = createCorralClient({ baseUrl });
  const deadline = Date.now() + startSeconds * 1000;
  while (!(await isReady(client, context.signal))) {
    if (context.signal.aborted) {
      await child.close();
      throw new CorralError('cancelled');
    }
    if (!child.running) throw endedEarly(words);
    if (Date.now() > deadline) {
      await child.close();
      throw new CommandError(
        `The server was not ready after ${startSeconds} seconds.`,
        `Look into ${context.home}/logs, then run "corral doctor".`,
      );
    }
    await sleep(pollMs);
  }
  // Something else may answer on the port while our child gives up on it.
  await sleep(pollMs);
  if (!child.running) throw endedEarly(words);
  const written = await readCredentials(context.home);
  const api_key = context.env['CORRAL_API_KEY'] ?? written?.api_key;
  if (api_key === undefined) {
    await child.close();
    throw new CommandError(
      `The server made no ${context.home}/credentials.json.`,
      'Set CORRAL_API_KEY to a key of this server, or use an empty CORRAL_HOME.',
    );
  }
  const firstKey = written !== null && before?.api_key !== written.api_key;
  return { child, credentials: { base_url: baseUrl, api_key }, firstKey };
}

async function isReady(
  client: ReturnType<typeof createCorralClient>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return await client.health({ signal: AbortSignal.any([signal, AbortSignal.timeout(3_000)]) });
  } catch (error) {
    if (CorralError.isInstance(error)) return false;
    throw error;
  }
}

/** The server's last words as an error: it prints what is wrong and, on its last line, what to do. */
function endedEarly(words: readonly string[]): CommandError {
  const said = words.filter((line) => line.trim() !== '');
  const next = said.length > 1 ? said.at(-1) : undefined;
  const why = said.slice(0, next === undefined ? undefined : -1).join('\n');
  return new CommandError(
    why === '' ? 'The server ended before it was ready.' : why,
    next ?? 'Run "corral doctor".',
    'server_failed',
  );
}
