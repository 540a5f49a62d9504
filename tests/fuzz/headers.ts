// Opens many model files with wrong bytes in their headers, in a process of its own, and says what came of it:
//   node tests/fuzz/headers.ts [--count 100000] [--seed 1] [--native N]
// `--native N` also mutates a small whole model until N mutants have passed the checks, and gives these to
// llama.cpp, each in an engine child of its own: they are what a child would see. Ends with 1 when a file was neither read nor refused by name, took longer than two
// seconds or more than 256 MiB, or ended a child.
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FormatError, memorySource, readGguf, validateModelHeader } from '@corral/formats';
import { hostileKinds, makeRandom, mutate } from '../../packages/formats/src/mutated-files.fake.ts';
import { writeTinyModel } from '../native/engine-fixtures.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    native: { type: 'string', default: '0' },
  },
});
const [count, seed, native] = [Number(values.count), Number(values.seed), Number(values.native)];
const limits = { milliseconds: 2000, bytes: 256 * 2 ** 20 };

interface Outcome {
  refused: number;
  read: number;
  slowestMs: number;
  /** Thrown and no FormatError. */
  readonly strange: string[];
}

async function fuzz(kind: (typeof hostileKinds)[keyof typeof hostileKinds]): Promise<Outcome> {
  const bytes = await kind.make();
  const random = makeRandom(seed);
  const found: Outcome = { refused: 0, read: 0, slowestMs: 0, strange: [] };
  for (let i = 0; i < count; i++) {
    const mutant = mutate(bytes, bytes.byteLength - kind.dataBytes, random);
    const started = performance.now();
    try {
      await kind.use(memorySource(mutant));
      found.read++;
    } catch (error) {
      if (FormatError.isInstance(error)) found.refused++;
      else found.strange.push(`mutant ${i}: ${String(error)}`);
    }
    found.slowestMs = Math.max(found.slowestMs, performance.now() - started);
  }
  return found;
}

/** Mutants of a model that llama.cpp loads, as far as they pass what stands before it. */
async function survivors(folder: string): Promise<Uint8Array[]> {
  const path = join(folder, 'whole.gguf');
  await writeTinyModel(path);
  const bytes = new Uint8Array(await readFile(path));
  const whole = await readGguf(memorySource(bytes));
  const header = Math.min(...[...whole.tensors.values()].map(({ offset }) => offset));
  const random = makeRandom(seed);
  const found: Uint8Array[] = [];
  while (found.length < native) {
    const mutant = mutate(bytes, header, random);
    try {
      validateModelHeader(await readGguf(memorySource(mutant)));
      found.push(mutant);
    } catch (error) {
      if (!FormatError.isInstance(error)) throw error;
    }
  }
  return found;
}

/** How an engine child takes each file: it may load or refuse it, and must not die. */
async function loadNatively(): Promise<Record<string, number>> {
  const worker = fileURLToPath(import.meta.resolve('@corral/engine/worker'));
  const folder = await mkdtemp(join(tmpdir(), 'corral-fuzz-'));
  const outcomes: Record<string, number> = {};
  try {
    for (const [i, bytes] of (await survivors(folder)).entries()) {
      const path = join(folder, `${i}.gguf`);
      await writeFile(path, bytes);
      const child = fork(worker, [], {
        execArgv: [],
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      });
      const { promise, resolve } = Promise.withResolvers<string>();
      child.on('message', (message: { type: string }) => resolve(message.type));
      child.once('exit', (code, signal) => resolve(`died (${signal ?? code})`));
      child.send({ type: 'load', id: '1', model_path: path, options: { n_ctx: 64, n_seq_max: 1 } });
      const outcome = await promise;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      child.kill('SIGKILL');
      await rm(path);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return outcomes;
}

let failed = false;
for (const [name, kind] of Object.entries(hostileKinds)) {
  const before = process.memoryUsage().rss;
  const { refused, read, slowestMs, strange } = await fuzz(kind);
  const grown = process.memoryUsage().rss - before;
  console.log(
    `${name}: ${count} mutants, ${refused} refused, ${read} read, ${strange.length} neither; slowest ${slowestMs.toFixed(1)} ms, memory grew by ${(grown / 2 ** 20).toFixed(0)} MiB`,
  );
  for (const line of strange.slice(0, 10)) console.log(`  ${line}`);
  failed ||= strange.length > 0 || slowestMs > limits.milliseconds || grown > limits.bytes;
}
if (native > 0) {
  const outcomes = await loadNatively();
  console.log(
    `llama.cpp, given ${native} mutants that pass the checks: ${JSON.stringify(outcomes)}`,
  );
  failed ||= Object.keys(outcomes).some((outcome) => outcome.startsWith('died'));
}
process.exitCode = failed ? 1 : 0;
