// Writes a GGUF of a named shape with random weights, tensor by tensor, so that a base larger than memory
// can be made. For measuring memory and speed; it says nothing sensible.
//   node benchmarks/trainer/make-random-base.ts SHAPE TYPE FILE      shape:7b Q4_0 /tmp/7b.gguf (3.9 GB)
// TYPE: F16, Q8_0 or Q4_0 for matrices; norms are F32. Shapes: shapes.ts. The same arguments give the same file.
import {
  expectedTensors,
  gguf,
  ggufTensorName,
  modelConfigToGguf,
  openFileSink,
  quantise,
  tensorTypes,
  writeGguf,
  type GgufTensorToWrite,
  type GgufValue,
  type ModelConfig,
} from '@corral/formats';
import { shapeNamed } from './shapes.ts';

type MatrixType = 'F16' | 'Q8_0' | 'Q4_0';

const normal = 1;
const userDefined = 4;

/** A vocabulary of the right size whose tokens mean nothing. */
const tokenizerOf = ({ vocab_size: size }: ModelConfig): [string, GgufValue][] => [
  ['tokenizer.ggml.model', gguf.string('gpt2')],
  ['tokenizer.ggml.pre', gguf.string('smollm')],
  [
    'tokenizer.ggml.tokens',
    gguf.strings(
      Array.from({ length: size }, (_, i) => (i < 95 ? String.fromCharCode(33 + i) : `<${i}>`)),
    ),
  ],
  [
    'tokenizer.ggml.token_type',
    gguf.int32s(Array.from({ length: size }, (_, i) => (i < 95 ? normal : userDefined))),
  ],
  ['tokenizer.ggml.merges', gguf.strings(['! "'])],
];

/** Random words; a new stream for each seed (xorshift32). */
const randomWords = (seed: number): ((out: Uint32Array) => void) => {
  let x = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      out[i] = x;
    }
  };
};

/** Standard deviation of the weights, as in a fresh Llama. */
const deviation = 0.02;
/** Of evenly spread levels: what brings them to that deviation. */
const scales: Record<'Q8_0' | 'Q4_0', number> = { Q8_0: deviation / 73.6, Q4_0: deviation / 4.6 };

const half = (value: number): readonly [number, number] => {
  const bytes = quantise('F16', Float32Array.of(value));
  return [bytes[0] ?? 0, bytes[1] ?? 0];
};

/** Random bytes are random levels; only the scale of each block is set. */
const randomBlocks = (count: number, type: 'Q8_0' | 'Q4_0', seed: number): Uint8Array => {
  const { blockSize, blockBytes } = tensorTypes[type];
  const words = new Uint32Array(Math.ceil(((count / blockSize) * blockBytes) / 4));
  randomWords(seed)(words);
  const bytes = new Uint8Array(words.buffer, 0, (count / blockSize) * blockBytes);
  const [low, high] = half(scales[type]);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    bytes[at] = low;
    bytes[at + 1] = high;
  }
  return bytes;
};

const randomHalves = (count: number, seed: number): Uint8Array => {
  const words = new Uint32Array(count);
  randomWords(seed)(words);
  const spread = 2 * Math.sqrt(3) * deviation;
  return quantise(
    'F16',
    Float32Array.from(words, (word) => (word / 2 ** 32 - 0.5) * spread),
  );
};

const tensorsOf = (config: ModelConfig, type: MatrixType): GgufTensorToWrite[] =>
  [...expectedTensors(config)].map(([hfName, shape], seed) => {
    const name = ggufTensorName(hfName) ?? hfName;
    const count = shape.reduce((product, extent) => product * extent, 1);
    if (shape.length === 1) {
      const data = new Uint8Array(new Float32Array(count).fill(1).buffer);
      return { name, type: 'F32', shape, data };
    }
    const data = () =>
      type === 'F16' ? randomHalves(count, seed) : randomBlocks(count, type, seed);
    return { name, type, shape, data };
  });

const [shapeName = '', type = '', file = ''] = process.argv.slice(2);
if (file === '' || !['F16', 'Q8_0', 'Q4_0'].includes(type)) {
  console.error('usage: node benchmarks/trainer/make-random-base.ts SHAPE F16|Q8_0|Q4_0 FILE');
  process.exit(2);
}
const config = shapeNamed(shapeName);
await using sink = await openFileSink(file);
const metadata = new Map([
  ['general.name', gguf.string(`random ${shapeName}`)],
  ...modelConfigToGguf(config),
  ...tokenizerOf(config),
]);
await writeGguf(sink, { metadata, tensors: tensorsOf(config, type as MatrixType) });
await sink.commit();
