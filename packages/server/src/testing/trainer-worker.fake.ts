// A trainer's worker that trains nothing and speaks the whole contract: events, exit codes, checkpoints,
// SIGTERM, a parent that dies. The first line of its data says what it does:
//   {"script":{"steps":6,"stepMs":10,"checkpointEvery":2,"dieAtStep":3,"failAtStep":null,"badRows":0}}
// `dieAtStep` kills it there the first `dieTimes` times, counted in the output folder.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { trainerExitCodes, type DataReport, type RunEvent } from '@corral/contracts';
import { parse } from 'yaml';

interface Script {
  readonly steps: number;
  readonly stepMs: number;
  readonly checkpointEvery: number;
  readonly dieAtStep: number | null;
  readonly dieTimes: number;
  readonly failAtStep: number | null;
  readonly badRows: number;
  /** What the data check says the rows are. */
  readonly format: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: 'string' },
    output: { type: 'string' },
    preview: { type: 'string' },
  },
});
const config = parse(readFileSync(values.config ?? '', 'utf8')) as {
  model: string;
  method: string;
  data: { train: string };
  train: { seed: number; learning_rate: number };
};
const lines = readFileSync(config.data.train, 'utf8').trim().split('\n');
const script: Script = {
  steps: 4,
  stepMs: 5,
  checkpointEvery: 2,
  dieAtStep: null,
  dieTimes: 1,
  failAtStep: null,
  badRows: 0,
  format: 'chat',
  ...(JSON.parse(lines[0] ?? '{}') as { script?: Partial<Script> }).script,
};
const say = (value: RunEvent | DataReport): void =>
  void process.stdout.write(`${JSON.stringify(value)}\n`);

function check(): void {
  const errors = Array.from({ length: script.badRows }, (_, index) => ({
    row: index + 2,
    reason: 'there is no assistant turn',
    fix: 'Add one',
  }));
  say({
    path: config.data.train,
    format: script.format,
    container: 'JSON lines',
    rows: lines.length,
    examples: lines.length - script.badRows,
    tokens: { total: 100, mean: 10, max: 20, p95: 18 },
    loss_tokens: 50,
    sha256: '0'.repeat(64),
    errors: errors.slice(0, 20),
    error_count: script.badRows,
    preview: [],
  });
  process.exitCode = script.badRows > 0 ? trainerExitCodes.failed : trainerExitCodes.finished;
}

async function train(output: string): Promise<void> {
  mkdirSync(output, { recursive: true });
  const statePath = join(output, 'checkpoint.json');
  const state = existsSync(statePath)
    ? (JSON.parse(readFileSync(statePath, 'utf8')) as { step: number; deaths: number })
    : { step: 0, deaths: 0 };
  // Renamed into place: the next attempt may read while this one is killed.
  const save = (): void => {
    writeFileSync(`${statePath}.${process.pid}`, JSON.stringify(state));
    renameSync(`${statePath}.${process.pid}`, statePath);
  };
  let stopping = false;
  process.on('SIGTERM', () => (stopping = true));
  process.stdin.on('end', () => (stopping = true)).resume();
  process.stdout.write('a library says hello\n');
  say({
    type: 'started',
    method: config.method,
    total_steps: script.steps,
    examples: lines.length,
    validation_examples: 0,
    tokens_per_epoch: 100,
    trainable_parameters: 10,
    base_parameters: 100,
    resumed_from_step: state.step === 0 ? null : state.step,
  });
  say({ type: 'phase', name: 'loading', done: 1, total: 1 });
  if (state.step === 0)
    say({ type: 'validation', step: 0, loss: 3, token_accuracy: 0.1, ...rewards(0.5) });
  while (state.step < script.steps) {
    if (stopping) {
      save();
      say({ type: 'paused', step: state.step });
      process.exit(trainerExitCodes.paused);
    }
    await sleep(script.stepMs);
    state.step += 1;
    if (state.step === script.failAtStep) {
      const error = {
        code: 'training_diverged',
        params: { step: state.step, reason: 'NaN', rows: '1' },
      };
      say({ type: 'failed', error: error as never });
      process.exit(trainerExitCodes.failed);
    }
    if (state.step === script.dieAtStep && state.deaths < script.dieTimes) {
      const kept = existsSync(statePath)
        ? (JSON.parse(readFileSync(statePath, 'utf8')) as { step: number })
        : { step: 0 };
      writeFileSync(statePath, JSON.stringify({ step: kept.step, deaths: state.deaths + 1 }));
      process.kill(process.pid, 'SIGKILL');
      await sleep(10_000);
    }
    say(stepEvent(state.step));
    if (state.step % script.checkpointEvery === 0) {
      save();
      say({ type: 'checkpoint', step: state.step, path: statePath });
    }
  }
  say({ type: 'validation', step: state.step, loss: 1, token_accuracy: 0.9, ...rewards(1) });
  finish(output, state.step);
  process.exit(trainerExitCodes.finished);
}

/** What only preference pairs have. */
const rewards = (accuracy: number) =>
  config.method === 'dpo' ? { reward_accuracy: accuracy, reward_margin: accuracy - 0.5 } : {};

const stepEvent = (step: number): RunEvent => ({
  type: 'step',
  step,
  epoch: step / script.steps,
  loss: 3 - (2 * step) / script.steps,
  learning_rate: config.train.learning_rate,
  grad_norm: 1,
  tokens: step * 25,
  tokens_per_second: 100,
  token_accuracy: 0.5,
  memory_bytes: 1000 + step,
  seconds_left: (script.steps - step) * 0.01,
  ...rewards(0.75),
});

/** What a run leaves: the same bytes however often it was interrupted. */
function finish(output: string, step: number): void {
  const makesModel = config.method === 'full' || config.method === 'pretrain';
  writeFileSync(
    join(output, makesModel ? 'model-q8_0.gguf' : 'adapter.gguf'),
    `GGUF of seed ${config.train.seed} after ${step} steps`,
  );
  writeFileSync(
    join(output, 'golden.json'),
    JSON.stringify({ schema: 'corral-golden/1', base: { sha256: '' }, transcripts: [] }),
  );
  say({
    type: 'finished',
    step,
    loss_before: 3,
    loss_after: 1,
    tokens: step * 25,
    seconds: 1,
    tokens_per_second: 100,
    gflops: 1,
    peak_memory_bytes: 2000,
  });
}

if (positionals[0] === 'check') check();
else await train(values.output ?? '');
