// The same model on another device: losses and gradients are the CPU's. Runs where a person names a device
// that this machine has, for example Mesa's software Vulkan:
//   CORRAL_TEST_DEVICE=webgpu VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json npx vitest run --project native device
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { PackedBatch } from '../models/causal-lm.ts';
import { openCausalLm } from '../models/open-causal-lm.ts';

const device = process.env['CORRAL_TEST_DEVICE'] ?? '';
const path = fileURLToPath(new URL('../../../../models/rehearsal/rehearsal.gguf', import.meta.url));
const seqLen = 64;

/** Two examples in one row, half of the targets scored. */
const batch: PackedBatch = {
  rows: 1,
  seqLen,
  tokens: Int32Array.from({ length: seqLen }, (_, i) => 5 + ((i * 37) % 900)),
  targets: Int32Array.from({ length: seqLen }, (_, i) => 5 + (((i + 1) * 37) % 900)),
  weights: Float32Array.from({ length: seqLen }, (_, i) => i % 2),
  positions: Int32Array.from({ length: seqLen }, (_, i) => i % 40),
  segments: Int32Array.from({ length: seqLen }, (_, i) => Math.floor(i / 40)),
};

async function gradients(on: string) {
  const lora = {
    rank: 4,
    alpha: 8,
    dropout: 0,
    use_rslora: false,
    target_modules: 'all-linear',
  } as const;
  await using model = await openCausalLm({
    path,
    method: 'lora',
    lora,
    seed: 3,
    threads: 1,
    device: on,
  });
  // B starts at zero, and with it the gradient of A.
  for (const { name, data } of model.parameters)
    if (name.includes('lora_B')) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
  const { lossSum } = await model.forwardBackward(batch, { lossScale: 1 / 32, step: 0 });
  const { lossSum: evaluated } = await model.evaluate(batch);
  return { lossSum, evaluated, grads: model.parameters.map(({ name, grad }) => ({ name, grad })) };
}

const norm = (values: Float32Array): number => Math.hypot(...values);

test.skipIf(device === '')(`${device || 'another device'} computes what the CPU does`, async () => {
  const expected = await gradients('cpu');
  const found = await gradients(device);
  expect(found.lossSum / expected.lossSum).toBeCloseTo(1, 5);
  expect(found.evaluated / expected.evaluated).toBeCloseTo(1, 5);
  for (const [i, { name, grad }] of expected.grads.entries()) {
    const other = found.grads[i]?.grad ?? new Float32Array();
    const error = norm(grad.map((value, j) => value - (other[j] ?? Number.NaN))) / norm(grad);
    expect([name, error < 1e-3 && norm(grad) > 0]).toEqual([name, true]);
  }
});
