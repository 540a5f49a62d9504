// The server's process: starts, says where it is, stops on SIGTERM or SIGINT. Everything a person sees of
// a start is printed here; everything else is in the log.
import { parseArgs } from 'node:util';
import { CorralError } from '@corral/contracts';
import { startServer } from './start-server.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

// Whoever reads our words may end before us; the server goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { host: { type: 'string' }, port: { type: 'string' } },
  });
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
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    complain(`${signal}: stopping. Once more ends at once.`);
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        complain(String(error));
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

try {
  await main();
} catch (error) {
  if (!CorralError.isInstance(error)) throw error;
  complain(`${error.message} ${error.next}`);
  process.exit(error.code === 'config_invalid' ? 2 : 1);
}
