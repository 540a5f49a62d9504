// LoRA supervised fine-tuning (Hu et al. 2021, arXiv:2106.09685): the base is frozen, each chosen linear
// layer gets a product of two thin matrices, and only those are trained.
//   load  → examples with their loss mask     build → model, optimiser, where to go on
//   train → the loop                          save  → adapter, transcripts, record        close
import { loadPeftValues } from '../checkpoint/peft-folder.ts';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import { saveAdapter } from '../output/peft-adapter.ts';
import { requireSane } from './divergence.ts';
import { finishRun, saveGolden } from './finish.ts';
import { loadData } from './load-data.ts';
import { adapterModelOptions } from './model-options.ts';
import { checkDisk } from './resources.ts';
import type { Run } from './run.ts';
import { TrainingSession, layoutOf } from './session.ts';
import { accumulateGradients } from './train-step.ts';

/** Runs to the end. Throws RunPaused when asked to pause, CorralError for what cannot go on. */
export async function trainLora(run: Run): Promise<void> {
  const startedAt = performance.now();
  const { config } = run;
  const { weight_decay, max_grad_norm } = config.train;

  // Load
  using data = await loadData(run);

  // Build
  await using model = await run.openModel(await adapterModelOptions(run, data));
  if (config.lora.init) await loadPeftValues(config.lora.init.path, model.parameters);
  const optimizer = createAdamW(model.parameters, { weightDecay: weight_decay });
  await checkDisk(run, model.parameters, 'adapter');
  const session = await TrainingSession.open(run, { data, model, optimizer });
  const { plan } = session;
  const layout = layoutOf(run);

  // Train
  for (;;) {
    await session.validateIfDue();
    const { step } = session.state;
    if (step >= plan.totalSteps || session.stopsEarly) break;
    const began = performance.now();
    const { learningRate } = session;
    const inputs = { store: data.train, microBatches: plan.microBatches(step) };
    const result = await accumulateGradients(model, inputs, { layout, step });
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
