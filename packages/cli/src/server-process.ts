// A Corral server as a child of the command line: started, waited for, told its address and key. Knows
// the server's entry, its environment and its credentials file; nothing of its inside.
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CorralError, errorTable, type Credentials } from '@corral/contracts';
import { createCorralClient } from '@corral/sdk';
import type { Child } from './children.ts';
import { findServer, readCredentials, type Context } from './context.ts';
import { CommandError } from './failures.ts';

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** It is to outlive this command: in its own session, its words in a file. */
  readonly keep?: boolean;
  /** Lines of the server's stderr, from when it is ready; before, they become the error. */
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
const keptWords = 50;
// A server that runs answers at once, but a machine that trains may be slow to let it.
const answerMs = 15_000;

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
    const { ready, home } = await client.status({ signal: AbortSignal.timeout(answerMs) });
    // Another server may have taken the port since; only the one of this home is ours.
    return ready && home === context.home ? known : null;
  } catch (error) {
    if (CorralError.isInstance(error)) return null;
    throw error;
  }
}

export const isPortFree = (port: number, host = '127.0.0.1'): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    // Any other trouble with the address is the server's to explain.
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });

interface Spawned {
  readonly child: Child;
  /** What it said on stderr so far. */
  readonly words: () => readonly string[];
  /** From now on its words are for a person. */
  readonly listen: () => void;
}

/** A server lives long and does little at a time: V8's usual 16 MiB for new objects only make it larger. */
const nodeOptions = ['--max-semi-space-size=4'];

/**
 * Where Node keeps compiled code between starts. Node would make it, and the home, as open as the umask says, and
 * whoever can write there decides what runs: so it is made first. A home that cannot be made is the server's to
 * explain; one that cannot be written goes without.
 */
function codeCache(home: string): Readonly<Record<string, string>> {
  try {
    const folder = join(home, 'cache', 'code');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return { NODE_COMPILE_CACHE: folder };
  } catch {
    return {};
  }
}

function spawnServer(
  context: Context,
  { host, port, keep = false, onLine }: ServerOptions,
): Spawned {
  const entry = fileURLToPath(import.meta.resolve('@corral/server/main'));
  const command = [...nodeOptions, entry];
  const env = {
    ...codeCache(context.home),
    ...context.env,
    CORRAL_HOME: context.home,
    CORRAL_HOST: host,
    CORRAL_PORT: String(port),
  };
  if (keep) {
    // A pipe would break when we end before the server: its words go to a file.
    const folder = join(context.home, 'logs');
    mkdirSync(folder, { recursive: true });
    const log = join(folder, 'kept-server.log');
    const file = openSync(log, 'w', 0o600);
    const child = context.children.spawn(process.execPath, command, {
      env,
      stdio: ['ignore', 'ignore', file],
      graceMs,
    });
    closeSync(file);
    const words = () => readFileSync(log, 'utf8').split('\n');
    return { child, words, listen: () => undefined };
  }
  const child = context.children.spawn(process.execPath, command, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    graceMs,
  });
  const words: string[] = [];
  let ready = false;
  if (child.process.stderr) {
    createInterface({ input: child.process.stderr }).on('line', (line) => {
      words.push(line);
      if (words.length > keptWords) words.shift();
      if (ready) onLine?.(line);
    });
  }
  const listen = () => {
    ready = true;
    for (const line of words) onLine?.(line);
  };
  return { child, words: () => words, listen };
}

async function waitUntilReady(
  context: Context,
  { child, words }: Spawned,
  baseUrl: string,
): Promise<void> {
  const client = createCorralClient({ baseUrl });
  const deadline = Date.now() + startSeconds * 1000;
  while (!(await isReady(client, context.signal))) {
    if (context.signal.aborted) throw new CorralError('cancelled');
    if (!child.running) throw endedEarly(words());
    if (Date.now() > deadline) {
      throw new CommandError(
        `The server was not ready after ${startSeconds} seconds.`,
        `Look into ${context.home}/logs, then run "corral doctor".`,
      );
    }
    await sleep(pollMs);
  }
  // Something else may answer on the port while our child gives up on it.
  await sleep(pollMs);
  if (!child.running) throw endedEarly(words());
}

/**
 * Starts a server and waits until it is ready.
 * @throws CommandError with the server's own words when it ends before.
 */
export async function startServer(
  context: Context,
  options: ServerOptions,
): Promise<StartedServer> {
  const before = await readCredentials(context.home);
  const { host, port } = options;
  // Said here, because another server that answers on the port would be taken for ours.
  if (!(await isPortFree(port, host))) {
    let suggestion = port + 1;
    while (suggestion < port + 100 && !(await isPortFree(suggestion, host))) suggestion += 1;
    throw new CorralError('port_in_use', { params: { port, host, suggestion } });
  }
  const spawned = spawnServer(context, options);
  const { child } = spawned;
  try {
    const base_url = localUrl(host, port);
    await waitUntilReady(context, spawned, base_url);
    const written = await readCredentials(context.home);
    if (written === null) {
      throw new CommandError(
        `The server made no ${context.home}/credentials.json.`,
        `Look into ${context.home}/logs.`,
      );
    }
    spawned.listen();
    const { api_key } = written;
    return { child, credentials: { base_url, api_key }, firstKey: before?.api_key !== api_key };
  } catch (error) {
    await child.close();
    throw error;
  }
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

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
/** Matches a sentence of the table's next steps at the end of a line; holes match anything. */
const nextSteps = Object.values(errorTable).map(
  ({ next }) =>
    new RegExp(
      `^(.+?) (${next
        .split(/\{\w+\}/)
        .map(escape)
        .join('.+')})$`,
      's',
    ),
);

/** The server's last words as an error: it prints on one line what is wrong and what to do. */
export function endedEarly(words: readonly string[]): CommandError {
  const said = words.filter((line) => line.trim() !== '').join('\n');
  for (const pattern of nextSteps) {
    const [, why, next] = pattern.exec(said) ?? [];
    if (why !== undefined && next !== undefined)
      return new CommandError(why, next, 'server_failed');
  }
  const why = said === '' ? 'The server ended before it was ready.' : said;
  return new CommandError(why, 'Run "corral doctor".', 'server_failed');
}
