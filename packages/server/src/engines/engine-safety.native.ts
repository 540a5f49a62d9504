// What kills one native child is its own affair: two children of llama.cpp, one killed from outside or
// stopped in its tracks, the other's answer as whole as it ever is. And what the header says a model will
// take is not less than what it takes.
import { fileURLToPath } from 'node:url';
import type { GenerationEvent } from '@corral/contracts';
import { engineOptionsSchema } from '@corral/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createEngineSupervisor } from './engine-supervisor.ts';
import type { Engines } from './engine-supervisor.ts';
import type { Engine, GenerateRequest } from './engine.ts';
import { readMemoryPlan } from './memory-estimate.ts';
import { residentBytes } from './process-memory.ts';

const modelPath = fileURLToPath(
  new URL('../../../../models/rehearsal/rehearsal.gguf', import.meta.url),
);
const options = { n_ctx: 512, n_seq_max: 2, n_threads: 1, prefix_cache_bytes: 0 };
let engines: Engines;
beforeEach(() => {
  engines = createEngineSupervisor({ engine: options, restartMs: 10, watchdogMs: 2_000 });
});
afterEach(() => engines.close());

const engine = (id: string): Engine => engines.engine({ id, modelPath });
const request: GenerateRequest = {
  tenant: 't',
  adapter: null,
  prompt: { kind: 'messages', messages: [{ role: 'user', content: 'Who are you?' }] },
  sampling: { temperature: 0 },
  maxTokens: 400,
  ignoreEos: true,
};
async function collect(events: AsyncIterable<GenerationEvent>): Promise<GenerationEvent[]> {
  const all: GenerationEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}
const textOf = (events: readonly GenerationEvent[]) => events.map(({ text }) => text).join('');
const pidOf = async (id: string) => (await engine(id).report()).pid ?? 0;

test.each([
  { signal: 'SIGKILL', reason: 'SIGKILL' },
  { signal: 'SIGSTOP', reason: 'did not answer' },
] as const)('$signal of one child leaves the other whole', async ({ signal, reason }) => {
  const whole = textOf(await collect(engine('b').generate(request)));
  await engine('a').info();
  const pid = await pidOf('a');
  const gate = Promise.withResolvers<void>();
  const hurt = (async () => {
    for await (const _ of engine('a').generate(request)) {
      process.kill(pid, signal);
      gate.resolve();
    }
  })();
  const died = expect(hurt).rejects.toMatchObject({
    code: 'engine_failed',
    message: expect.stringContaining(reason),
  });
  const other = collect(engine('b').generate(request));
  await gate.promise;
  await died;
  expect(textOf(await other)).toBe(whole);
  const again = await collect(engine('a').generate({ ...request, maxTokens: 5 }));
  expect(again.at(-1)?.finish).toMatchObject({ reason: 'length', completion_tokens: 5 });
  expect(await pidOf('a')).not.toBe(pid);
});

test('the estimate covers what a loaded model takes, and not much more', async () => {
  await collect(engine('a').generate(request));
  const taken = await residentBytes(await pidOf('a'));
  if (taken === null) return; // Only Linux says.
  const { bytes } = await readMemoryPlan(modelPath, engineOptionsSchema.parse(options), Infinity);
  expect(bytes).toBeGreaterThan(taken * 0.9);
  expect(bytes).toBeLessThan(taken * 2);
});
