// SIGKILL at twenty moments, resumed each time: the bytes are those of an undisturbed run, and at most one
// checkpoint interval is computed again. The moments are drawn from a seed: while starting, between two steps,
// in a checkpoint, while the results are written.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunEvent, trainerExitCodes } from '@corral/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { draw } from './data/order.ts';
import { writeToyInputs } from './recipes/toy-run.fake.ts';
import { startWorker } from './worker-process.fake.ts';

const kills = 20;
/** The last kills come after training, while transcripts and results are written. */
const lateKills = 4;
const interval = 3;
const seed = 2026;

let folder = '';
let config = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-kill-'));
  writeToyInputs(folder);
  config = join(folder, 'run.yaml');
  writeFileSync(
    config,
    `model: model
data: { train: rows.jsonl, validation: 0.2, context_length: 64 }
lora: { rank: 4, dropout: 0.1 }
train: { epochs: 40, batch_size: 3, gradient_accumulation: 2, learning_rate: 1.0e-2 }
checkpoint: { every_steps: ${interval} }
runtime: { threads: 1 }
`,
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const argumentsOf = (output: string): string[] => ['train', '--config', config, '--output', output];

/** Whether the moment to kill has come, for the k-th kill, after so many events of this sitting. */
function momentOf(kill: number): (event: RunEvent, count: number) => boolean {
  if (kill >= kills - lateKills) {
    return (event) => event.type === 'phase' && event.name === 'golden transcripts';
  }
  // Most sittings come a few steps further, some not even to the first.
  const wanted = 1 + (draw(seed, kill, 1) % 14);
  return (_event, count) => count >= wanted;
}

/** The events of a sitting that was killed. */
async function killedSitting(output: string, kill: number): Promise<RunEvent[]> {
  const isDue = momentOf(kill);
  let count = 0;
  let due = false;
  const { signal, events } = await startWorker(argumentsOf(output), {
    onEvent: (event, child) => {
      count += 1;
      if (due || !isDue(event, count)) return;
      due = true;
      // A step takes a few milliseconds here; the transcripts take a hundred.
      void sleep(draw(seed, kill, 2) % 6).then(() => child.kill('SIGKILL'));
    },
  });
  expect(signal).toBe('SIGKILL');
  return events;
}

const files = ['adapter_model.safetensors', 'adapter.gguf', 'golden.json'];

test('killed at twenty moments and resumed gives the bytes of an undisturbed run', async () => {
  const whole = join(folder, 'whole');
  const undisturbed = await startWorker(argumentsOf(whole));
  expect(undisturbed).toMatchObject({ code: trainerExitCodes.finished, stderr: '' });

  const output = join(folder, 'killed');
  let reached = 0;
  const expectLittleLost = (events: readonly RunEvent[]): void => {
    // A sitting that did not come to its start has computed nothing again.
    const started = events.find((event) => event.type === 'started');
    const from = started ? (started.resumed_from_step ?? 0) : reached;
    expect(reached - from).toBeLessThanOrEqual(interval);
    const steps = events.flatMap((event) => (event.type === 'step' ? [event.step] : []));
    reached = Math.max(reached, ...steps);
  };
  for (let kill = 0; kill < kills; kill += 1) {
    expectLittleLost(await killedSitting(output, kill));
    expect(existsSync(join(output, 'run.json'))).toBe(false);
  }
  const { code, events } = await startWorker(argumentsOf(output));
  expectLittleLost(events);
  expect(code).toBe(trainerExitCodes.finished);
  for (const file of files) {
    const [killed, expected] = [output, whole].map((path) => readFileSync(join(path, file)));
    expect({ file, same: expected && killed?.equals(expected) }).toEqual({ file, same: true });
  }
});
