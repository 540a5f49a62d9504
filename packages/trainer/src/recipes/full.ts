// Full training: every parameter is trained, from given weights or, when the model folder holds only a
// shape (config.json and tokenizer), from scratch. Also continued pre-training, which differs in its data.
//   load  → examples with their loss mask     build → model, optimiser, where to go on
//   train → the loop                          save  → model, transcripts, record          close
import { basename } from 'node:path';
import { readTokenizerFiles } from '../data/open-tokenizer.ts';
import { withCodes } from '../format-errors.ts';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import { checkWritable, saveModel } from '../output/full-model.ts';
import { requireSane } from './divergence.ts';
import { finishRun, saveGolden } from './finish.ts';
import { loadData } from './load-data.ts';
import { checkDisk, chooseMemory } from './resources.ts';
import { type Run, phaseReporter } from './run.ts';
import { TrainingSession, layoutOf } from './session.ts';
import { accumulateGradients } from './train-step.ts';

/** Runs to the end. Throws RunPaused when asked to pause, CorralError for what cannot go on. */
export async function trainFull(run: Run): Promise<void> {
  const startedAt = performance.now();
  const { config } = run;
  const { weight_decay, max_grad_norm } = config.train;

  // Load
  using data = await loadData(run);

  // Build
  await using model = await run.openModel({
    path: config.model.path,
    method: 'full',
    seed: config.train.seed,
    threads: config.runtime.threads,
    device: config.runtime.device,
    ...(await chooseMemory(run, data)),
    onProgress: phaseReporter(run.emit, 'load weights'),
  });
  const result = {
    name: basename(config.model.path),
    modelConfig: model.config,
    tokenizer: await readTokenizerFiles(config.model.path),
  };
  await withCodes(config.model.path, async () => checkWritable(result));
  const optimizer = createAdamW(
    // Norms and biases are not decayed.
    model.parameters.map((parameter) => ({ ...parameter, decay: parameter.shape.length > 1 })),
    { weightDecay: weight_decay },
  );
  await checkDisk(run, model.parameters, 'model');
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
  await saveModel(run.output, { ...result, parameters: model.parameters });
  await saveGolden(run, model, data);
  await finishRun(run, { session, model, data }, startedAt);

  // Close: `await using` releases the model.
}
