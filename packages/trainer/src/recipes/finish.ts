// The last acts that methods share: golden transcripts, the run's figures, its record. After this the
// output folder is whole.
import { join } from 'node:path';
import { methodTraits } from '../config/methods.ts';
import type { CausalLm } from '../models/causal-lm.ts';
import { writeJsonAtomic } from '../output/atomic-file.ts';
import { readEvents } from '../output/event-log.ts';
import { playGolden } from '../output/golden.ts';
import { type RunFigures, writeRunRecord } from '../output/run-record.ts';
import { goldenPrompts } from './golden-prompts.ts';
import type { RunData } from './load-data.ts';
import { type Run, pauseIfAsked, phaseReporter } from './run.ts';
import { type TrainingSession, stepPlanOf } from './session.ts';
import { peakMemoryBytes, trainingGflops } from './throughput.ts';

/**
 * Writes golden.json: what the model that was just saved says to a few prompts.
 * Throws RunPaused when asked to pause: the last checkpoint is whole, and this is done again.
 */
export async function saveGolden(run: Run, model: CausalLm, data: RunData): Promise<void> {
  const report = phaseReporter(run.emit, 'golden transcripts');
  const { totalSteps } = stepPlanOf(run, data.train);
  const golden = await playGolden(model, await goldenPrompts(run, data), {
    encoder: data.encoder,
    baseSha256: run.config.model.sha256,
    contextLength: run.config.data.context_length,
    onProgress: (done, total) => {
      pauseIfAsked(run, totalSteps);
      report(done, total);
    },
  });
  await writeJsonAtomic(join(run.output, 'golden.json'), golden);
}

/** Says `finished` and writes the record. `startedAt` is performance.now() when this sitting began. */
export async function finishRun(
  run: Run,
  { session, model, data }: { session: TrainingSession; model: CausalLm; data: RunData },
  startedAt: number,
): Promise<void> {
  const { step, tokens, trainSeconds, lossBefore, lossAfter } = session.state;
  const tokensPerSecond = tokens / Math.max(trainSeconds, 1e-9);
  const frozenBase = methodTraits[run.config.method].trainsAdapter;
  const figures: RunFigures = {
    step,
    loss_before: lossBefore,
    loss_after: lossAfter,
    tokens,
    seconds: (performance.now() - startedAt) / 1000,
    tokens_per_second: tokensPerSecond,
    gflops: trainingGflops(model.baseParameterCount, tokensPerSecond, frozenBase),
    peak_memory_bytes: peakMemoryBytes(),
  };
  const { config, identity, output } = run;
  const events = await readEvents(output);
  await writeRunRecord(output, { config, identity, figures, report: data.report }, events);
  await data.discard();
  run.emit({ type: 'finished', ...figures });
}
