// Direct Preference Optimisation (Rafailov et al. 2023, arXiv:2305.18290) of a LoRA adapter: of two answers
// to a prompt the better one becomes more likely than it was, the worse one less. The reference is the same
// model with its adapter switched off, so there is no second model in memory.
//   load  → pairs, answers only in the loss     build → model, reference log-probabilities, optimiser
//   train → the loop                            save  → adapter, transcripts, record        close
import { loadPeftValues } from '../checkpoint/peft-folder.ts';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import { saveAdapter } from '../output/peft-adapter.ts';
import { pairOutcome } from './dpo-loss.ts';
import { requireSane } from './divergence.ts';
import { type PairLosses, accumulatePairGradients, evaluatePairs } from './pair-step.ts';
import { finishRun, saveGolden } from './finish.ts';
import { loadData } from './load-data.ts';
import { type ReferenceLosses, referenceLosses } from './reference-losses.ts';
import { adapterModelOptions } from './model-options.ts';
import { checkDisk } from './resources.ts';
import type { Run } from './run.ts';
import { TrainingSession, layoutOf } from './session.ts';

/** Runs to the end. Throws RunPaused when asked to pause, CorralError for what cannot go on. */
export async function trainDpo(run: Run): Promise<void> {
  const startedAt = performance.now();
  const { config } = run;
  const { weight_decay, max_grad_norm, batch_size } = config.train;
  const { beta } = config.dpo;

  // Load
  using data = await loadData(run);

  // Build
  await using model = await run.openModel(await adapterModelOptions(run, data));
  if (config.lora.init) await loadPeftValues(config.lora.init.path, model.parameters);
  const optimizer = createAdamW(model.parameters, { weightDecay: weight_decay });
  await checkDisk(run, model.parameters, 'adapter');
  const reference = await referenceLosses(run, model, data);
  const layout = layoutOf(run);
  const outcomes = (of: ReferenceLosses) => (pair: number, losses: PairLosses) =>
    pairOutcome(losses, of(pair), { beta });
  const heldOut = { store: data.validation, outcomeOf: outcomes(reference.validation) };
  const session = await TrainingSession.open(run, {
    data,
    model,
    optimizer,
    evaluate: (onBatch) =>
      evaluatePairs(model, heldOut, { layout, batchSize: batch_size, onBatch }),
  });
  const { plan } = session;

  // Train
  for (;;) {
    await session.validateIfDue();
    const { step } = session.state;
    if (step >= plan.totalSteps || session.stopsEarly) break;
    const began = performance.now();
    const { learningRate } = session;
    const inputs = { store: data.train, microBatches: plan.microBatches(step) };
    const pairs = { ...inputs, outcomeOf: outcomes(reference.train) };
    const result = await accumulatePairGradients(model, pairs, { layout, step });
    const gradNorm = clipGradients(model.parameters, max_grad_norm);
    requireSane({ loss: result.loss, gradNorm }, { ...inputs, model, step, layout });
    optimizer.step(learningRate);
    const seconds = (performance.now() - began) / 1000;
    session.record({ result, learningRate, gradNorm, seconds });
    await session.checkpointIfDue();
  }
  await session.chooseParameters();

  // Save
  await saveAdapter(run.output, {
    parameters: model.parameters,
    modelConfig: model.config,
    config,
  });
  await saveGolden(run, model, data);
  await finishRun(run, { session, model, data }, startedAt);

  // Close: `await using` releases the model.
}
