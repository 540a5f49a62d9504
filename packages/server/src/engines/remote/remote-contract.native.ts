// The engine contract over a real llama-server: the one that CORRAL_LLAMA_SERVER names, or of the PATH, with
// the miniature that ships with the repository. Skipped, saying so, where there is none.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'vitest';
import { describeEngineContract } from '../engine-contract.fake.ts';
import type { EngineUnderTest } from '../engine-contract.fake.ts';
import { RemoteEngine } from './remote-engine.ts';
import { remoteEngineSchema } from './remote-settings.ts';

const model = fileURLToPath(
  new URL('../../../../../models/rehearsal/rehearsal.gguf', import.meta.url),
);

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};
const candidates = [
  process.env['CORRAL_LLAMA_SERVER'] ?? '',
  ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'llama-server')),
];
const program = candidates.find((path) => path !== '' && isExecutable(path));

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });

async function startLlamaServer(path: string): Promise<EngineUnderTest> {
  const port = await freePort();
  const words = `-m ${model} -c 4096 -np 8 -t 1 --port ${port} --host 127.0.0.1 --no-webui --jinja`;
  const child = spawn(path, words.split(' '), { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const base_url = `http://127.0.0.1:${port}/v1`;
  const settings = { id: 'far', type: 'llama-server', base_url, model: 'rehearsal' };
  const engine = new RemoteEngine({ ...remoteEngineSchema.parse(settings), apiKey: null });
  await engine.probe();
  while ((await engine.report()).problem !== null && child.exitCode === null) {
    await sleep(100);
    await engine.probe();
  }
  return {
    engine,
    cannot: ['score', 'adapters'],
    // Ids come with log-probabilities only.
    tellsTokens: false,
    long: {
      prompt: { kind: 'messages', messages: [{ role: 'user', content: 'Who are you?' }] },
      ignoreEos: true,
    },
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      child.kill('SIGKILL');
      await exited;
    },
  };
}

if (program === undefined) {
  describe('the engine contract: llama-server', () => {
    test('needs a llama-server', ({ skip }) => {
      skip('none found: set CORRAL_LLAMA_SERVER, or put one into the PATH');
    });
  });
} else {
  describeEngineContract('llama-server', () => startLlamaServer(program));
}
