// The worker as a process, with the real model at toy size: killed, paused, orphaned and resumed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type RunEvent, trainerExitCodes } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeToyInputs } from './recipes/toy-run.fake.ts';

const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
let folder = '';
let config = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-worker-'));
  writeToyInputs(folder);
  config = join(folder, 'run.yaml');
  writeFileSync(
    config,
    `model: model
data: { train: rows.jsonl, validation: 0.2, context_length: 64 }
lora: { rank: 4 }
train: { epochs: 20, batch_size: 3, learning_rate: 1.0e-2 }
checkpoint: { every_steps: 3 }
runtime: { threads: 1 }
`,
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly events: RunEvent[];
  readonly stderr: string;
}

interface StartOptions {
  readonly onEvent?: (event: RunEvent, child: ChildProcess) => void;
  readonly env?: Record<string, string>;
}

async function start(args: readonly string[], options: StartOptions = {}): Promise<Result> {
  const child = spawn(process.execPath, [worker, ...args], {
    env: { ...process.env, ...options.env },
  });
  const events: RunEvent[] = [];
  let rest = '';
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as RunEvent;
      events.push(event);
      options.onEvent?.(event, child);
    }
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, events, stderr };
}

const train = (output: string, options?: StartOptions): Promise<Result> =>
  start(['train', '--config', config, '--output', output], options);
const adapterOf = (output: string): Buffer =>
  readFileSync(join(output, 'adapter_model.safetensors'));

describe('the trainer as a process', () => {
  test('killed at several moments and started again gives the bytes of an undisturbed run', async () => {
    const whole = join(folder, 'whole');
    const undisturbed = await train(whole);
    expect(undisturbed.stderr).toBe('');
    expect(undisturbed.code).toBe(trainerExitCodes.finished);

    const output = join(folder, 'killed');
    for (const killAfter of [7, 31, 64]) {
      const { signal } = await train(output, {
        onEvent: (event, child) => {
          if (event.type !== 'step' || event.step < killAfter) return;
          // Somewhere in the next steps, or in the middle of a checkpoint.
          void sleep(killAfter % 5).then(() => child.kill('SIGKILL'));
        },
      });
      expect(signal).toBe('SIGKILL');
      expect(existsSync(join(output, 'run.json'))).toBe(false);
    }
    const { code, events } = await train(output);
    expect(code).toBe(trainerExitCodes.finished);
    const resumedFrom = events.find((event) => event.type === 'started')?.resumed_from_step;
    expect(resumedFrom).toBeGreaterThan(60);
    expect(adapterOf(output).equals(adapterOf(whole))).toBe(true);
  });

  test('asked to stop, saves within one step and exits 75', async () => {
    const output = join(folder, 'paused');
    let stopped = 0;
    const { code, events } = await train(output, {
      onEvent: (event, child) => {
        if (event.type === 'step' && event.step === 10) {
          stopped = event.step;
          child.kill('SIGTERM');
        }
      },
    });
    expect(code).toBe(trainerExitCodes.paused);
    const last = events.at(-1);
    expect(last).toMatchObject({ type: 'paused' });
    expect(stopped).toBe(10);
    const checkpoint = events.findLast((event) => event.type === 'checkpoint');
    expect(checkpoint?.step).toBe(last?.type === 'paused' ? last.step : null);
  });

  test('whose parent is gone saves and leaves', async () => {
    const { code, events } = await train(join(folder, 'orphan'), {
      env: { CORRAL_PARENT: 'pipe' },
      onEvent: (event, child) => {
        if (event.type === 'step' && event.step === 5) child.stdin?.end();
      },
    });
    expect(code).toBe(trainerExitCodes.paused);
    expect(events.at(-1)?.type).toBe('paused');
  });

  test('whose listener is gone saves and leaves', async () => {
    const output = join(folder, 'unheard');
    const { code } = await train(output, {
      onEvent: (event, child) => {
        if (event.type === 'step' && event.step === 5) child.stdout?.destroy();
      },
    });
    expect(code).toBe(trainerExitCodes.paused);
    expect(readFileSync(join(output, 'events.jsonl'), 'utf8')).toMatch(/"paused","step":\d+\}\n$/);
  });

  test('explains what it cannot do', async () => {
    const unknown = await start(['dance', '--config', config]);
    expect(unknown).toMatchObject({ code: trainerExitCodes.misuse });
    expect(unknown.stderr).toContain('there is no command "dance"');

    const wrong = join(folder, 'wrong.yaml');
    writeFileSync(wrong, 'model: model\ndata: { train: rows.jsonl }\nspeed: fast\n');
    const invalid = await start(['train', '--config', wrong, '--output', join(folder, 'x')]);
    expect(invalid.code).toBe(trainerExitCodes.misuse);
    expect(invalid.stderr).toContain('wrong.yaml:3: speed: unknown key');
    expect(invalid.events.at(-1)).toMatchObject({
      type: 'failed',
      error: { code: 'config_invalid' },
    });
  });

  test('checks data without opening weights', async () => {
    const { code, events } = await start(['preview', '--config', config, '--preview', '1']);
    expect(code).toBe(trainerExitCodes.finished);
    expect(events[0]).toMatchObject({ format: 'chat', rows: 24, error_count: 0 });
  });
});
