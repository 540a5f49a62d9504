// Supervises the embedded Postgres: create its data, start it, find one that an earlier, killed server
// left running, stop it. Unix socket in a private folder, password, no TCP, fsync on. It runs in its own
// session, so that a Ctrl-C or a kill -9 of Corral does not take it along.
//
// As root, Postgres drops to an unprivileged user that often may not pass through the folders above its
// data (/root is 0700). It need not: it starts with the data folder as working directory and is told that
// its data are in /proc/self/cwd, so no path above is ever walked. The data stay inside CORRAL_HOME, out
// of reach of other processes of that user.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, openSync, closeSync, readFileSync, readlinkSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import {
  canTraverse,
  embeddedUnavailable,
  prepareRuntime,
  runtimeUser,
  type PostgresRuntime,
  type RuntimeUser,
} from './embedded-runtime.ts';

interface PostgresConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface EmbeddedPostgres {
  /** The same for as long as it is not stopped. */
  readonly connection: PostgresConnection;
  readonly pid: number;
  /** True when it was found running. */
  readonly attached: boolean;
  /** Fast shutdown: sessions are ended, everything is on disk. Idempotent. */
  stop(): Promise<void>;
}

/** Only names the socket file; nothing listens on TCP. */
const port = 5432;
const userName = 'corral';
const databaseName = 'corral';
/** sockaddr_un holds 107 bytes and a zero; the file is called `.s.PGSQL.5432`. */
const maxSocketFolderBytes = 107 - '/.s.PGSQL.5432'.length;
const socketFolderPrefix = '/tmp/corral-pg-';
const startSeconds = 60;
const watchMilliseconds = 1000;

interface Instance {
  readonly folder: string;
  readonly data: string;
  readonly user: RuntimeUser | null;
  readonly runtime: PostgresRuntime;
  readonly password: string;
}

/**
 * Starts (creating it the first time) or re-attaches to the Postgres of the folder `place`, and starts it again when
 * it dies; `onDeath` hears of it.
 */
export async function startEmbeddedPostgres(
  place: string,
  onDeath: (error: Error) => void = () => undefined,
): Promise<EmbeddedPostgres> {
  const user = runtimeUser();
  if (user !== null && process.platform !== 'linux' && !canTraverse(place, user))
    throw embeddedUnavailable(`the user ${user.name} cannot reach ${place}; do not run as root`);
  await mkdir(place, { recursive: true, mode: 0o700 });
  // Without links: the system names a process's working directory so, and by that we know our own. A
  // second Postgres on data that one still uses would destroy them.
  const folder = await realpath(place);
  const data = join(folder, 'data');
  const runtime = await prepareRuntime(user, { own: join(folder, 'runtime') });
  const password = await passwordOf(folder);
  const instance: Instance = { folder, data, user, runtime, password };
  const running = await attach(instance);
  if (running !== null) return supervise(instance, running, { attached: true, onDeath });
  // What one that was killed has left.
  await removeSocketFolder(readPidFile(data)?.socketFolder ?? '');
  if (!existsSync(join(data, 'PG_VERSION'))) await createData(instance);
  const launched = await launch(instance, await socketFolderFor(instance));
  return supervise(instance, launched, { attached: false, onDeath });
}

interface Running {
  readonly pid: number;
  readonly connection: PostgresConnection;
}

/** Postgres sees its data under this name. */
const dataName = ({ user, data }: Instance): string =>
  user === null || process.platform !== 'linux' ? data : '/proc/self/cwd';

async function passwordOf(folder: string): Promise<string> {
  const path = join(folder, 'password');
  if (!existsSync(path)) {
    const aside = `${path}.${process.pid}`;
    await writeFile(aside, randomBytes(32).toString('base64url'), { mode: 0o600 });
    await rename(aside, path);
  }
  return readFile(path, 'utf8');
}

async function socketFolderFor({ folder, user }: Instance): Promise<string> {
  const inside = join(folder, 'socket');
  if (user === null && Buffer.byteLength(inside) <= maxSocketFolderBytes) {
    await mkdir(inside, { recursive: true, mode: 0o700 });
    return inside;
  }
  // A long home, or one the unprivileged user cannot enter. A random name, so that nobody can sit on it.
  const made = await mkdtemp(socketFolderPrefix);
  if (user !== null) await chown(made, user.uid, user.gid);
  return made;
}

async function removeSocketFolder(folder: string): Promise<void> {
  if (folder.startsWith(socketFolderPrefix)) await rm(folder, { recursive: true, force: true });
}

async function createData(instance: Instance): Promise<void> {
  const { data, user, runtime, password } = instance;
  // What a creation cut short has left; initdb wants an empty folder.
  await rm(data, { recursive: true, force: true });
  await mkdir(data, { mode: 0o700 });
  const secret = await mkdtemp('/tmp/corral-initdb-');
  try {
    const passwordFile = join(secret, 'password');
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (user !== null)
      for (const path of [data, secret, passwordFile]) await chown(path, user.uid, user.gid);
    const options = ['--no-locale', '-E', 'UTF8', '-A', 'scram-sha-256', '--no-instructions'];
    const { code, output } = await runToEnd(instance, runtime.initdb, [
      `--pgdata=${dataName(instance)}`,
      `--username=${userName}`,
      `--pwfile=${passwordFile}`,
      ...options,
    ]);
    if (code !== 0) {
      await rm(data, { recursive: true, force: true });
      throw embeddedUnavailable(`initdb failed: ${output.trim().slice(-800)}`);
    }
  } finally {
    await rm(secret, { recursive: true, force: true });
  }
}

const spawnOptions = ({ data, user }: Instance) => ({
  cwd: data,
  // No variable of the caller (PGDATA, LD_PRELOAD, secrets) has any business in there.
  env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
  ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
});

async function runToEnd(
  instance: Instance,
  command: string,
  args: readonly string[],
): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, args, {
    ...spawnOptions(instance),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(embeddedUnavailable(cause.message, cause)));
    child.once('close', (code) => resolve({ code, output }));
  });
}

async function launch(instance: Instance, socketFolder: string): Promise<Running> {
  const { data, folder, runtime } = instance;
  await removeForeignPidFile(data);
  const logPath = join(folder, 'postgres.log');
  const log = openSync(logPath, 'a', 0o600);
  const settings = {
    listen_addresses: '',
    port: String(port),
    unix_socket_directories: socketFolder,
    unix_socket_permissions: '0700',
    max_connections: '50',
    // Small: the pages live in the system's cache as well, and models need the memory.
    shared_buffers: '64MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
  const args = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
  const child = spawn(runtime.postgres, ['-D', dataName(instance), ...args], {
    ...spawnOptions(instance),
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  let failure: string | null = null;
  child.once('error', (error) => (failure = error.message));
  child.once('exit', (code, signal) => (failure = `it ended with ${signal ?? code}`));
  const connection = connectionOf(instance, socketFolder);
  try {
    await waitUntilReady(connection, () => failure);
  } catch (error) {
    if (child.pid !== undefined && failure === null) process.kill(child.pid, 'SIGQUIT');
    const tail = readFileSync(logPath, 'utf8').trim().split('\n').slice(-5).join('\n');
    throw embeddedUnavailable(`${String(error)}; last lines of ${logPath}:\n${tail}`, error);
  }
  if (child.pid === undefined) throw embeddedUnavailable('it has no process id');
  await ensureDatabase(connection);
  return { connection, pid: child.pid };
}

const connectionOf = ({ password }: Instance, host: string): PostgresConnection => ({
  host,
  port,
  user: userName,
  password,
  database: databaseName,
});

async function waitUntilReady(
  connection: PostgresConnection,
  failure: () => string | null,
): Promise<void> {
  const deadline = Date.now() + startSeconds * 1000;
  for (let pause = 10; ; pause = Math.min(pause * 1.5, 250)) {
    const reason = failure();
    if (reason !== null) throw new Error(reason);
    try {
      await query(connection, 'select 1');
      return;
    } catch (error) {
      // 3D000: up, but its database is not made yet. Everything else: not up yet.
      if ((error as { code?: string }).code === '3D000') return;
      if (Date.now() > deadline) throw error;
    }
    await sleep(pause);
  }
}

async function ensureDatabase(connection: PostgresConnection): Promise<void> {
  try {
    await query(connection, 'select 1');
  } catch (error) {
    if ((error as { code?: string }).code !== '3D000') throw error;
    await query({ ...connection, database: 'postgres' }, `create database "${databaseName}"`);
  }
}

async function query(connection: PostgresConnection, sql: string): Promise<void> {
  const client = new Client({ ...connection, connectionTimeoutMillis: 5000 });
  // A lost connection also rejects the call that waits for it; without a listener it would end Corral.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Lines of postmaster.pid: pid, data, start time, port, socket folder, address, shared memory, state. */
function readPidFile(data: string): { pid: number; socketFolder: string } | null {
  const path = join(data, 'postmaster.pid');
  if (!existsSync(path)) return null;
  const lines = readFileSync(path, 'utf8').split('\n');
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 1 ? { pid, socketFolder: lines[4]?.trim() ?? '' } : null;
}

async function attach(instance: Instance): Promise<Running | null> {
  const found = readPidFile(instance.data);
  if (found === null || !ownsData(found.pid, instance.data)) return null;
  if (found.socketFolder === '' || !existsSync(found.socketFolder)) {
    // Alive but out of reach (its socket folder was swept away): replace it.
    await stopProcess(found.pid, instance.data);
    return null;
  }
  const connection = connectionOf(instance, found.socketFolder);
  const { pid } = found;
  await waitUntilReady(connection, () => (isAlive(pid) ? null : 'it ended while starting'));
  await ensureDatabase(connection);
  return { connection, pid };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A pid is reused sooner or later; on Linux the working directory tells whose it is. */
function ownsData(pid: number, data: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform !== 'linux') return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === data;
  } catch {
    return false;
  }
}

/** Postgres refuses to start while any process has the pid that an old file names. */
async function removeForeignPidFile(data: string): Promise<void> {
  const found = readPidFile(data);
  if (found !== null && !ownsData(found.pid, data)) await rm(join(data, 'postmaster.pid'));
}

async function stopProcess(pid: number, data: string): Promise<void> {
  const signals: readonly (readonly [NodeJS.Signals, number])[] = [
    ['SIGINT', 20_000], // fast shutdown: sessions are ended, a checkpoint is written
    ['SIGQUIT', 10_000], // immediate: the next start replays the log
  ];
  for (const [signal, patience] of signals) {
    if (!ownsData(pid, data)) return;
    process.kill(pid, signal);
    const deadline = Date.now() + patience;
    while (Date.now() < deadline) {
      // Not isAlive: an orphan that has ended keeps its pid until init collects it.
      if (!ownsData(pid, data)) return;
      await sleep(10);
    }
  }
  throw new Error(`The embedded Postgres (process ${pid}) does not stop.`);
}

/** Starts it again, in the same place, whenever it is found dead: until `stop`. */
function supervise(
  instance: Instance,
  first: Running,
  { attached, onDeath }: { attached: boolean; onDeath: (error: Error) => void },
): EmbeddedPostgres {
  const { connection } = first;
  let { pid } = first;
  let stopping: Promise<void> | null = null;
  let restarting: Promise<void> | null = null;
  const restart = async (): Promise<void> => {
    onDeath(new Error(`The embedded Postgres (process ${pid}) died and is started again.`));
    try {
      ({ pid } = await launch(instance, connection.host));
    } catch (error) {
      // Its last sessions may still be ending; the next look tries again.
      onDeath(error instanceof Error ? error : new Error(String(error)));
    } finally {
      restarting = null;
    }
  };
  const watch = setInterval(() => {
    if (stopping === null && !ownsData(pid, instance.data)) restarting ??= restart();
  }, watchMilliseconds).unref();
  const stop = async (): Promise<void> => {
    clearInterval(watch);
    await restarting;
    await stopProcess(pid, instance.data);
    await removeSocketFolder(connection.host);
  };
  return {
    connection,
    get pid() {
      return pid;
    },
    attached,
    stop: () => (stopping ??= stop()),
  };
}
