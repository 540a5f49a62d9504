// SIGKILL at twenty moments, resumed each time: the bytes are those of an undisturbed run, and at most one
// checkpoint interval is computed again. The moments are drawn from a seed: while starting, between two steps,
// in a checkpoint, while the results are written. LoRA always; every method and 8-bit products when asked for:
//   CORRAL_TEST_KILL=all npx vitest run --project native packages/trainer/src/kill.native.ts
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

/** What is killed: lines that differ, and the files that must be equal. */
interface Case {
  readonly method: 'lora' | 'qlora' | 'full' | 'dpo';
  readonly precision: 'float32' | 'int8';
  readonly rows: string;
  readonly context: number;
  readonly files: readonly string[];
}

const adapterFiles = ['adapter_model.safetensors', 'adapter.gguf', 'golden.json'];
const adapter = {
  precision: 'float32',
  rows: 'rows.jsonl',
  context: 64,
  files: adapterFiles,
} as const;
const cases: Record<string, Case> = {
  lora: { ...adapter, method: 'lora' },
  'lora in int8': { ...adapter, method: 'lora', precision: 'int8' },
  qlora: { ...adapter, method: 'qlora' },
  full: {
    ...adapter,
    method: 'full',
    files: ['model.safetensors', 'model-q8_0.gguf', 'golden.json'],
  },
  dpo: { ...adapter, method: 'dpo', rows: 'pairs.jsonl', context: 128 },
};
const wanted = process.env['CORRAL_TEST_KILL'] === 'all' ? Object.keys(cases) : ['lora'];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-kill-'));
  writeToyInputs(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function writeConfig(name: string, { method, precision, rows, context }: Case): string {
  const config = join(folder, `${name}.yaml`);
  writeFileSync(
    config,
    `model: model
method: ${method}
data: { train: ${rows}, validation: 0.2, context_length: ${context} }
lora: { rank: 4, dropout: 0.1 }
train: { epochs: 40, batch_size: 3, gradient_accumulation: 2, learning_rate: 1.0e-2 }
checkpoint: { every_steps: ${interval} }
runtime: { threads: 1, precision: ${precision} }
`,
  );
  return config;
}

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
async function killedSitting(args: string[], kill: number): Promise<RunEvent[]> {
  const isDue = momentOf(kill);
  let count = 0;
  let due = false;
  const { signal, events } = await startWorker(args, {
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

test.each(wanted)(
  '%s: killed at twenty moments and resumed gives the bytes of an undisturbed run',
  async (name) => {
    const chosen = cases[name];
    if (!chosen) throw new Error(`no case ${name}`);
    const config = writeConfig(name, chosen);
    const argumentsOf = (output: string): string[] => [
      'train',
      '--config',
      config,
      '--output',
      output,
    ];
    const whole = join(folder, `${name} whole`);
    const undisturbed = await startWorker(argumentsOf(whole));
    expect(undisturbed).toMatchObject({ code: trainerExitCodes.finished, stderr: '' });

    const output = join(folder, `${name} killed`);
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
      expectLittleLost(await killedSitting(argumentsOf(output), kill));
      expect(existsSync(join(output, 'run.json'))).toBe(false);
    }
    const { code, events } = await startWorker(argumentsOf(output));
    expectLittleLost(events);
    expect(code).toBe(trainerExitCodes.finished);
    for (const file of chosen.files) {
      const [killed, expected] = [output, whole].map((path) => readFileSync(join(path, file)));
      expect({ file, same: expected && killed?.equals(expected) }).toEqual({ file, same: true });
    }
  },
);
