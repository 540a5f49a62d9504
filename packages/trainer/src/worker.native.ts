// The worker as a process, with the real model at toy size: paused, orphaned, out of disk, resumed.
// kill.native.ts kills it.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { trainerExitCodes } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeToyInputs } from './recipes/toy-run.fake.ts';
import { type StartOptions, type WorkerResult, startWorker } from './worker-process.fake.ts';

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
train: { epochs: 8, batch_size: 3, learning_rate: 1.0e-2 }
checkpoint: { every_steps: 3 }
runtime: { threads: 1 }
`,
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const train = (output: string, options?: StartOptions): Promise<WorkerResult> =>
  startWorker(['train', '--config', config, '--output', output], options);
const adapterOf = (output: string): Buffer =>
  readFileSync(join(output, 'adapter_model.safetensors'));

describe('the trainer as a process', () => {
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

  test('out of disk in a checkpoint says so, keeps the one before and goes on when there is room', async () => {
    const output = join(folder, 'full');
    await train(output, {
      onEvent: (event, child) => {
        if (event.type === 'step' && event.step === 4) child.kill('SIGTERM');
      },
    });
    const checkpoints = join(output, 'checkpoints');
    const before = readdirSync(checkpoints);
    const full = await train(output, { maxFileKiB: 12 });
    expect(full.code).toBe(trainerExitCodes.failed);
    expect(full.events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'disk_full' } });
    expect(full.stderr).toContain('goes on from the last checkpoint');
    expect(readdirSync(checkpoints)).toEqual(before);

    const { code, events } = await train(output);
    expect(code).toBe(trainerExitCodes.finished);
    const started = events.find((event) => event.type === 'started');
    expect(started?.resumed_from_step).toBeGreaterThanOrEqual(4);
    const whole = join(folder, 'whole');
    await train(whole);
    expect(adapterOf(output).equals(adapterOf(whole))).toBe(true);
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
    const unknown = await startWorker(['dance', '--config', config]);
    expect(unknown).toMatchObject({ code: trainerExitCodes.misuse });
    expect(unknown.stderr).toContain('there is no command "dance"');

    const wrong = join(folder, 'wrong.yaml');
    writeFileSync(wrong, 'model: model\ndata: { train: rows.jsonl }\nspeed: fast\n');
    const invalid = await startWorker(['train', '--config', wrong, '--output', join(folder, 'x')]);
    expect(invalid.code).toBe(trainerExitCodes.misuse);
    expect(invalid.stderr).toContain('wrong.yaml:3: speed: unknown key');
    expect(invalid.events.at(-1)).toMatchObject({
      type: 'failed',
      error: { code: 'config_invalid' },
    });
  });

  test('checks data without opening weights', async () => {
    const { code, events } = await startWorker(['preview', '--config', config, '--preview', '1']);
    expect(code).toBe(trainerExitCodes.finished);
    expect(events[0]).toMatchObject({ format: 'chat', rows: 24, error_count: 0 });
  });
});
