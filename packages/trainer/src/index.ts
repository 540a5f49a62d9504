// Public surface of @corral/trainer: train a model, write it in other forms. Everything here works without a
// server; `worker.ts` is the same as a process.
import { type RunConfigInput, type RunEvent, runConfigSchema } from '@corral/contracts';
import { openCausalLm } from './models/open-causal-lm.ts';
import { runTraining } from './recipes/run-training.ts';

export { exportModel, type ExportOptions } from './export/export-model.ts';

export interface TrainOptions {
  /** Folder for checkpoints, events and results; a second run with the same output goes on. */
  readonly output: string;
  /** Aborted = checkpoint within one step, then a `paused` event. */
  readonly signal?: AbortSignal;
  /** Where relative paths of the configuration start; default: the current folder. */
  readonly folder?: string;
}

/**
 * Trains and tells: `for await (const event of train(config, { output }))`. Leaving the loop early pauses
 * the run. Throws CorralError after the `failed` event when the run cannot go on.
 */
export async function* train(
  config: RunConfigInput,
  { output, signal, folder = process.cwd() }: TrainOptions,
): AsyncGenerator<RunEvent, void, undefined> {
  const events: RunEvent[] = [];
  const leaving = new AbortController();
  let wake = (): void => undefined;
  const running = runTraining(runConfigSchema.parse(config), {
    output,
    folder,
    signal: signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal,
    emit: (event) => {
      events.push(event);
      wake();
    },
    openModel: openCausalLm,
  });
  let ended = false;
  const end = (): void => {
    ended = true;
    wake();
  };
  running.then(end, end);
  try {
    for (;;) {
      const event = events.shift();
      if (event) yield event;
      else if (ended) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    await running;
  } finally {
    leaving.abort();
    await running.catch(() => undefined);
  }
}
