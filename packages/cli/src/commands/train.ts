// `corral train`: the trainer alone, with a configuration file and a folder: no server, no database.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CorralError, runEventSchema, trainerExitCodes, type RunEvent } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../failures.ts';
import { formatBytes, formatCount, formatLoss, formatSeconds } from '../format.ts';
import { createProgress, type Progress } from '../progress.ts';
import { runTrainer } from '../trainer-process.ts';

type Finished = Extract<RunEvent, { type: 'finished' }>;

/** Shows one event; returns lines that are to stay on the screen. */
function follow(event: RunEvent, progress: Progress, state: { totalSteps: number }): string | null {
  switch (event.type) {
    case 'started': {
      state.totalSteps = event.total_steps;
      const from =
        event.resumed_from_step === null ? '' : `, going on from step ${event.resumed_from_step}`;
      const kind = event.data_format === undefined ? '' : ` read as ${event.data_format}`;
      return `${formatCount(event.examples)} examples${kind}, ${event.total_steps} steps, ${formatCount(event.trainable_parameters)} trainable of ${formatCount(event.base_parameters)} parameters${from}`;
    }
    case 'phase':
      progress.update(event.name, event.total > 0 ? event.done / event.total : null);
      return null;
    case 'step':
      progress.update(
        `step ${event.step} of ${state.totalSteps} · loss ${formatLoss(event.loss)} · ${formatCount(event.tokens_per_second)} tokens/s · ${formatSeconds(event.seconds_left)} left`,
        state.totalSteps > 0 ? event.step / state.totalSteps : null,
      );
      return null;
    case 'validation':
      return `validation loss ${formatLoss(event.loss)} at step ${event.step}`;
    case 'warning':
      return event.message;
    case 'paused':
      return `paused at step ${event.step}; the same command goes on from there`;
    case 'checkpoint':
    case 'finished':
    case 'failed':
      return null;
    default:
      return event satisfies never;
  }
}

/** Without held-out examples the loss of the last step has to do. */
const describeLoss = (end: Finished, lastLoss: number | null): string =>
  end.loss_after === null
    ? `training loss ${formatLoss(lastLoss)} in the last step (nothing is held out)`
    : `validation loss ${formatLoss(end.loss_before)} → ${formatLoss(end.loss_after)}`;

const describeEnd = (end: Finished, lastLoss: number | null, output: string): string =>
  `${describeLoss(end, lastLoss)}, ${formatCount(end.tokens_per_second)} tokens/s, ${end.gflops.toFixed(0)} GFLOP/s, peak memory ${formatBytes(end.peak_memory_bytes)}, ${formatSeconds(end.seconds)}\n  result in ${output}`;

async function train(context: Context, input: Input): Promise<number> {
  const config = resolve(input.requiredText('config'));
  const output = resolve(input.requiredText('output'));
  if (!existsSync(config)) throw new CorralError('file_not_found', { params: { path: config } });
  const state = {
    totalSteps: 0,
    lastLoss: null as number | null,
    finished: null as Finished | null,
  };
  const { io, json } = context;
  using progress = createProgress(io);
  const code = await runTrainer(
    context,
    ['train', '--config', config, '--output', output],
    (line) => {
      if (json) io.out(`${JSON.stringify(line)}\n`);
      const event = runEventSchema.safeParse(line).data;
      if (event === undefined) return;
      if (event.type === 'finished') state.finished = event;
      if (event.type === 'step') state.lastLoss = event.loss;
      const said = follow(event, progress, state);
      if (said !== null) io.err(`${io.live ? '\r\u001b[2K' : ''}  ${said}\n`);
    },
  );
  progress.close();
  const { finished } = state;
  if (finished && !json)
    io.out(`${io.colors.green('✓')} ${describeEnd(finished, state.lastLoss, output)}\n`);
  return code === trainerExitCodes.finished ? exitCodes.ok : exitCodes.failed;
}

export const trainCommand: CommandSpec = {
  name: 'train',
  summary: 'run the trainer alone: no server, no database',
  details:
    'Reads a run configuration (model, data, lora, train, checkpoint, runtime) and writes the adapter, its checkpoints and events.jsonl into DIR. Started again with the same arguments, it goes on from the last checkpoint. With --json the events are printed, one object a line.',
  options: [
    { flags: '--config FILE', description: 'run configuration, YAML or JSON', required: true },
    {
      flags: '--output DIR',
      description: 'folder for the adapter and checkpoints',
      required: true,
    },
  ],
  examples: [
    { command: 'corral train --config run.yaml --output out', says: 'train, or go on' },
    { command: 'corral train --config run.yaml --output out --json', says: 'events for a script' },
  ],
  failure: 'The training did not finish.',
  run: train,
};
