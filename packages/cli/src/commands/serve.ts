// `corral serve`: the server in the foreground. Prints where it is and, the first time, the admin key.
import { CorralError } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../failures.ts';
import { listenAddress } from '../listen-address.ts';
import { startServer } from '../server-process.ts';

const once = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function serve(context: Context, input: Input): Promise<number> {
  const { io } = context;
  const { bold, dim, green } = io.colors;
  const port = input.integer('port', { min: 1, max: 65_535 });
  const address = await listenAddress(context, { host: input.text('host'), port });
  if (!context.json) io.err(`${dim(`starting in ${context.home} …`)}\n`);
  const server = await startServer(context, {
    ...address,
    onLine: (line) => io.err(`${line}\n`),
  });
  const { base_url, api_key } = server.credentials;
  if (context.json) {
    const key = server.firstKey ? { api_key } : {};
    io.out(`${JSON.stringify({ base_url, home: context.home, ...key })}\n`);
  } else {
    io.out(`${green('✓')} Corral answers at ${bold(base_url)}  (OpenAI: ${base_url}/v1)\n`);
    if (server.firstKey) {
      io.out(`  admin key  ${bold(api_key)}\n`);
      io.out(`  ${dim(`shown once; kept in ${context.home}/credentials.json`)}\n`);
    } else io.out(`  ${dim(`the key is in ${context.home}/credentials.json`)}\n`);
    io.out(`  ${dim('Ctrl-C stops it')}\n`);
  }
  const ended = await Promise.race([
    server.child.exited,
    once(context.signal).then(() => 'stopped' as const),
  ]);
  if (ended === 'stopped') {
    await server.child.close();
    return exitCodes.interrupted;
  }
  if (ended.code === 0) return exitCodes.ok;
  const how = ended.signal ?? `exit code ${ended.code}`;
  throw new CorralError('server_unreachable', {
    params: { base_url },
    cause: new Error(`the server ended: ${how}`),
  });
}

export const serveCommand: CommandSpec = {
  name: 'serve',
  summary: 'run the server',
  details:
    'State lives in CORRAL_HOME (default ~/.corral). The database is embedded unless DATABASE_URL names a Postgres. Settings: environment CORRAL_* or config.yaml in CORRAL_HOME.',
  options: [
    { flags: '--host ADDRESS', description: 'where to listen (else as set, 127.0.0.1)' },
    { flags: '--port NUMBER', description: 'TCP port (else as set, 7788)' },
  ],
  examples: [
    { command: 'corral serve', says: 'on this machine only' },
    { command: 'corral serve --host 0.0.0.0 --port 8080', says: 'for the network; mind the keys' },
  ],
  failure: 'The server does not run.',
  run: serve,
};
