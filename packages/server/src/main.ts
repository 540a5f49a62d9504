// The server's process: starts, says where it is, stops on SIGTERM or SIGINT. Everything a person sees of
// a start is printed here; everything else is in the log.
import { parseArgs } from 'node:util';
import { CorralError } from '@corral/contracts';
import { startServer } from './start-server.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

const sameStopMilliseconds = 1000;

// Whoever reads our words may end before us; the server goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { host: { type: 'string' }, port: { type: 'string' } },
  });
  const stopped = whenAsked();
  const server = await startServer({
    overrides: {
      ...(values.host === undefined ? {} : { host: values.host }),
      ...(values.port === undefined ? {} : { port: Number(values.port) }),
    },
    onWarning: (message) => complain(`Warning: ${message}`),
  });
  print(`Corral is ready at ${server.url} (state in ${server.home}).`);
  if (server.adminKey !== null)
    print(`Admin key, shown this once and kept in credentials.json: ${server.adminKey}`);
  await stopped;
  await server.close();
  process.exit(0);
}

/** Listened to from the beginning: a stop during the start waits for it, so that no child is left. */
const whenAsked = (): Promise<void> =>
  new Promise((resolve) => {
    let askedAt: number | null = null;
    const stop = (signal: NodeJS.Signals): void => {
      if (askedAt !== null) {
        // A Ctrl-C comes from the terminal and, as SIGTERM, from the command that started us.
        if (performance.now() - askedAt > sameStopMilliseconds) process.exit(1);
        return;
      }
      askedAt = performance.now();
      complain(`${signal}: stopping. Once more ends at once.`);
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });

try {
  await main();
} catch (error) {
  const isMisuse =
    error instanceof TypeError && String(Reflect.get(error, 'code')).startsWith('ERR_PARSE_ARGS');
  if (isMisuse) complain(`${error.message} Usage: main.ts [--host HOST] [--port PORT]`);
  else if (CorralError.isInstance(error)) complain(`${error.message} ${error.next}`);
  else throw error;
  process.exit(
    isMisuse || (CorralError.isInstance(error) && error.code === 'config_invalid') ? 2 : 1,
  );
}
