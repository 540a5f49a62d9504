// Starts a whole server and stops it again, in this order: settings, folder, lock, port, database, schema,
// object graph, work left over, socket, credentials. Stopping is the reverse.
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type { FastifyInstance } from 'fastify';
import { buildApp } from './app.ts';
import { compose, type Composition, type Substitutes } from './compose.ts';
import { loadConfig, type Config, type ConfigSource } from './config.ts';
import { readCredentials, writeCredentials } from './credentials.ts';
import type { Database } from './db/database.ts';
import { migrate } from './db/migrate.ts';
import { openDatabase } from './db/open-database.ts';
import { loadSigner } from './features/evidence/index.ts';
import { homePaths, type HomePaths } from './home.ts';
import { acquireLock } from './home-lock.ts';
import { openLog, type Log } from './log.ts';
import { migrations } from './migrations.ts';

export interface RunningServer {
  readonly url: string;
  readonly home: string;
  readonly database: Database['kind'];
  /** The admin key, on the first start only: the one time it can be shown. */
  readonly adminKey: string | null;
  /** Orderly: streams get an error event, children end, the database stops. Idempotent. */
  close(): Promise<void>;
}

export interface StartOptions extends ConfigSource {
  /** What a person should know although the server runs. */
  readonly onWarning?: (message: string) => void;
  readonly substitutes?: Substitutes;
}

/** Throws `config_invalid`, `home_in_use`, `port_in_use`, `database_unreachable`. */
export async function startServer(options: StartOptions = {}): Promise<RunningServer> {
  const config = loadConfig(options);
  const home = homePaths(config.home);
  await mkdir(home.root, { recursive: true, mode: 0o700 });
  // Node would make it as open as the umask says, and whoever can write there decides what engines run.
  await mkdir(home.codeCache, { recursive: true, mode: 0o700 }).catch(() => undefined);
  const undo: (() => Promise<void> | void)[] = [];
  const unwind = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const lock = await acquireLock(home.lock);
    undo.push(() => lock.release());
    await assertPortFree(config);
    const log = openLog(home.logs, config.log.level);
    undo.push(() => log.flush());
    const database = await openDatabase({
      config: config.database,
      home,
      warn: warner(log, options.onWarning),
    });
    undo.push(() => database.close());
    await migrate(database, migrations);
    const parts = compose({
      config,
      database,
      signer: await loadSigner(home.evidenceKey),
      log: log.logger,
      ...(options.substitutes === undefined ? {} : { substitutes: options.substitutes }),
    });
    undo.push(() => closeFeatures(parts, log));
    const adminKey = await ensureCredentials(parts, home);
    const app = await serve(parts, config);
    undo.push(() => stopListening(app, parts, config));
    const url = urlOf(app, config);
    await writeCredentials(home.credentials, { base_url: url, api_key: adminKey.current });
    parts.setReady(true);
    log.logger.info({ url, database: database.kind }, 'ready');
    let closing: Promise<void> | null = null;
    return {
      url,
      home: home.root,
      database: database.kind,
      adminKey: adminKey.created,
      close: () => (closing ??= unwind()),
    };
  } catch (error) {
    await unwind();
    throw error;
  }
}

const warner =
  (log: Log, show?: (message: string) => void) =>
  (message: string, error?: unknown): void => {
    log.logger.warn({ err: error }, message);
    show?.(message);
  };

/** Says so before a database is started, and with a port that would do. */
async function assertPortFree({ host, port }: Config): Promise<void> {
  if (port === 0 || (await canListen(host, port))) return;
  let suggestion = port + 1;
  while (suggestion < Math.min(port + 100, 65_535) && !(await canListen(host, suggestion)))
    suggestion += 1;
  throw new CorralError('port_in_use', { params: { port, host, suggestion } });
}

const canListen = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else
        reject(
          new CorralError('config_invalid', {
            params: { details: `  host, port: ${error.message}` },
            cause: error,
          }),
        );
    });
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });

/** The key for credentials.json: made on the first start, and again when the file was lost or revoked. */
async function ensureCredentials(
  { access }: Composition,
  home: HomePaths,
): Promise<{ current: string; created: string | null }> {
  const first = await access.bootstrap();
  if (first !== null) return { current: first, created: first };
  const kept = await readCredentials(home.credentials);
  if (kept !== null && (await isAccepted(access, kept.api_key)))
    return { current: kept.api_key, created: null };
  const issued = await access.issueOperatorKey();
  return { current: issued, created: issued };
}

async function isAccepted(access: Composition['access'], key: string): Promise<boolean> {
  try {
    return (await access.authenticate(key)).operator;
  } catch (error) {
    if (CorralError.isInstance(error) && error.code === 'invalid_api_key') return false;
    throw error;
  }
}

async function serve(parts: Composition, config: Config): Promise<FastifyInstance> {
  const { platform, access, features } = parts;
  const app = await buildApp({
    log: platform.log,
    access,
    features,
    metrics: platform.metrics,
    bodyLimit: config.limits.body_bytes,
  });
  try {
    await platform.queue.prepare();
    for (const feature of features) await feature.start?.();
    await platform.queue.start();
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}

function urlOf(app: FastifyInstance, { host }: Config): string {
  const { port } = app.server.address() as AddressInfo;
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

async function stopListening(
  app: FastifyInstance,
  { platform: { streams }, setReady }: Composition,
  { shutdown_seconds: seconds }: Config,
): Promise<void> {
  setReady(false);
  const closed = app.close();
  const deadline = Date.now() + seconds * 1000;
  const left = (): number => Math.max(0, deadline - Date.now());
  while (streams.size > 0 && left() > 0) await sleep(20);
  await streams.closeAll();
  // Answers that are not streamed get the same time; then their connections are cut.
  const late = setTimeout(() => app.server.closeAllConnections(), left());
  await closed;
  clearTimeout(late);
}

async function closeFeatures({ features, platform }: Composition, log: Log): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async (close: () => Promise<void> | undefined): Promise<void> => {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  };
  await attempt(() => platform.queue.close());
  for (const feature of features.toReversed())
    await attempt(() => feature.close?.() ?? Promise.resolve());
  for (const failure of failures)
    log.logger.error({ err: failure }, 'A part did not stop cleanly.');
}
