// What a measurement is made of: a base of a named shape on disk, one batch, and the rate that the runtime's
// own matrix product reaches, against which training is judged.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { input, matmul } from '../../packages/trainer/src/graph/ops.ts';
import type { PackedBatch } from '../../packages/trainer/src/models/causal-lm.ts';
import { lower } from '../../packages/trainer/src/onnx/lower.ts';
import type { Runtime } from '../../packages/trainer/src/runtime/runtime.ts';
import { hostTensor } from '../../packages/trainer/src/runtime/runtime.ts';

/** A GGUF file: the path itself, or for `shape:…` one with random weights, made once in the temporary folder. */
export const baseFile = (model: string, type: string): string => {
  if (!model.startsWith('shape:')) return model;
  const file = join(tmpdir(), `corral-${model.replaceAll(':', '-')}-${type}.gguf`);
  const script = fileURLToPath(new URL('make-random-base.ts', import.meta.url));
  if (!existsSync(file)) execFileSync(process.execPath, [script, model, type, file]);
  return file;
};

interface BatchShape {
  readonly rows: number;
  readonly steps: number;
  /** `long`: one example a row, all scored, as in peft_lora.py. `short`: packed, the second half scored. */
  readonly workload: 'long' | 'short';
  readonly vocabulary: number;
}

const shortLengths = [72, 40, 100, 64, 88, 51, 97];

export const makeBatch = ({ rows, steps, workload, vocabulary }: BatchShape): PackedBatch => {
  const size = rows * steps;
  const limit = Math.min(vocabulary, 30_000);
  const batch = {
    rows,
    seqLen: steps,
    tokens: Int32Array.from({ length: size }, (_, i) => (i * 7919) % limit),
    targets: Int32Array.from({ length: size }, (_, i) => ((i + 1) * 7919) % limit),
    weights: new Float32Array(size),
    positions: new Int32Array(size),
    segments: new Int32Array(size).fill(-1),
  };
  for (let row = 0; row < rows; row++) {
    let start = 0;
    for (let segment = 0; start < steps; segment++) {
      const wanted =
        workload === 'long' ? steps : (shortLengths[segment % shortLengths.length] ?? 64);
      if (start + wanted > steps) break;
      for (let i = 0; i < wanted; i++) {
        const at = row * steps + start + i;
        batch.segments[at] = segment;
        batch.positions[at] = i;
        batch.weights[at] = Number(workload === 'long' || i >= wanted / 2);
      }
      start += wanted;
    }
  }
  return batch;
};

/** Widths of square products: the best of them counts. */
const productWidths = [1024, 2048, 4096];
const productRows = 512;

/** Floating-point operations a second of the best float32 product [512, K]·[K, K]. */
export const bestProductRate = async (runtime: Runtime): Promise<number> => {
  let best = 0;
  for (const width of productWidths) {
    const y = matmul(input('x', [productRows, width]), input('w', [width, width]));
    await using session = await runtime.createSession(lower({ outputs: new Map([['y', y]]) }));
    const numbers = (length: number): Float32Array =>
      Float32Array.from({ length }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5);
    const feeds = {
      x: hostTensor(numbers(productRows * width), [productRows, width]),
      w: hostTensor(numbers(width * width), [width, width]),
    };
    const results = { y: hostTensor(new Float32Array(productRows * width), [productRows, width]) };
    const end = performance.now() + 500;
    while (performance.now() < end) {
      const start = performance.now();
      await session.run(feeds, results);
      const seconds = (performance.now() - start) / 1000;
      best = Math.max(best, (2 * productRows * width * width) / seconds);
    }
  }
  return best;
};
