// The server's process with a fake trainer, models and parity check, for tests that kill it.
import { fileURLToPath } from 'node:url';
import { startServer } from '../start-server.ts';
import { fakeModels } from './models-port.fake.ts';

const { models, parity } = fakeModels();
const server = await startServer({
  substitutes: {
    models,
    parity,
    trainerEntry: fileURLToPath(new URL('trainer-worker.fake.ts', import.meta.url)),
  },
});
process.stdout.write(`Corral is ready at ${server.url} (state in ${server.home}).\n`);
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
