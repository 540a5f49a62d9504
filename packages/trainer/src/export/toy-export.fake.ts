// A toy base and an adapter of it on disk, with the numbers of reference/make-expected-merge.py.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type SafetensorsTensorToWrite,
  expectedTensors,
  memorySink,
  readModelConfig,
  writeSafetensors,
} from '@corral/formats';
import { noise } from '../models/tiny-model.fake.ts';

type Fingerprint = readonly [norm: number, a: number, b: number];

interface MergeCase {
  readonly lora: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly use_rslora?: boolean;
    readonly target_modules: readonly string[];
  };
  readonly config: object;
  readonly weights: Readonly<Record<string, Fingerprint>>;
  readonly logits: readonly Fingerprint[];
}

export const mergeCases = (
  JSON.parse(
    readFileSync(new URL('../../reference/expected/merge.json', import.meta.url), 'utf8'),
  ) as { readonly cases: Readonly<Record<string, MergeCase>> }
).cases;

export const fingerprint = (name: string, values: Float32Array): Fingerprint => {
  const product = (salt: string): number => {
    const other = noise(`${salt} ${name}`, values.length);
    return values.reduce((sum, x, i) => sum + x * (other[i] ?? 0), 0);
  };
  return [Math.hypot(...values), product('a'), product('b')];
};

/** Largest difference, relative to the norm. */
export const distance = (found: Fingerprint, expected: Fingerprint | undefined): number =>
  expected
    ? Math.max(...found.map((value, i) => Math.abs(value - (expected[i] ?? 0)))) / expected[0]
    : Number.POSITIVE_INFINITY;

/** weight() of make-expected.py. */
function weightOf(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const size = Math.fround(shape.length === 1 || name.includes('lora_') ? 0.2 : 0.15);
  const count = shape.reduce((a, b) => a * b, 1);
  const norm = name.includes('norm');
  return Float32Array.from(noise(name, count), (x) => (norm ? 1 + 0.25 * x : size * x));
}

const tensor = (name: string, shape: readonly number[]): SafetensorsTensorToWrite => ({
  name,
  dtype: 'F32',
  shape,
  data: new Uint8Array(weightOf(name, shape).buffer),
});

async function writeTensors(path: string, tensors: readonly SafetensorsTensorToWrite[]) {
  const sink = memorySink();
  await writeSafetensors(sink, { metadata: new Map([['format', 'pt']]), tensors });
  writeFileSync(path, sink.bytes());
}

/** One token a character, 256 of them. */
const tokenizer = {
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(
      Array.from({ length: 256 }, (_, i) => [String.fromCodePoint(0x4e00 + i), i]),
    ),
    merges: [],
  },
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
};

/** Writes `base/` (with a card and terms) and `adapter/` into `folder`; returns both. */
export async function writeToyExport(
  folder: string,
  { config, lora }: MergeCase,
): Promise<{ base: string; adapter: string }> {
  const [base, adapter] = [join(folder, 'base'), join(folder, 'adapter')];
  for (const path of [base, adapter]) mkdirSync(path, { recursive: true });
  writeFileSync(join(base, 'config.json'), JSON.stringify(config));
  writeFileSync(join(base, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(base, 'tokenizer_config.json'), '{"chat_template":"{{ messages }}"}');
  writeFileSync(join(base, 'README.md'), '---\nlicense: apache-2.0\n---\n# Toy\n');
  writeFileSync(join(base, 'LICENSE'), 'The terms.');
  const matrices = [...expectedTensors(await readModelConfig(base))];
  const model = matrices.map(([name, shape]) => tensor(name, shape));
  await writeTensors(join(base, 'model.safetensors'), model);
  const adapted = matrices.filter(([name]) =>
    lora.target_modules.some((module) => name.endsWith(`.${module}.weight`)),
  );
  await writeTensors(
    join(adapter, 'adapter_model.safetensors'),
    adapted.flatMap(([name, [outputs = 0, inputs = 0]]) => {
      const stem = `base_model.model.${name.replace(/\.weight$/, '')}`;
      return [
        tensor(`${stem}.lora_A.weight`, [lora.r, inputs]),
        tensor(`${stem}.lora_B.weight`, [outputs, lora.r]),
      ];
    }),
  );
  const settings = { peft_type: 'LORA', bias: 'none', ...lora };
  writeFileSync(join(adapter, 'adapter_config.json'), JSON.stringify(settings));
  return { base, adapter };
}
