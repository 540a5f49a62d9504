// Tiny random Llama models and adapters as GGUF files, and an engine child to talk to. The weights are
// large enough that the most likely token leads by far: equal maths gives equal text.
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  CorralError,
  fromErrorPayload,
  type EngineMessage,
  type EngineRequestInput,
  type GenerationEvent,
  type TokenLogprob,
} from '@corral/contracts';
import {
  gguf,
  openFileSink,
  writeGguf,
  type GgufTensorToWrite,
  type GgufValue,
} from '@corral/formats';

const shape = { width: 64, layers: 2, heads: 4, keyValueHeads: 2, hidden: 96, context: 512 };
const headWidth = shape.width / shape.heads;
/** [out, in] of each projection of a block. */
const projections: Readonly<Record<string, readonly [number, number]>> = {
  attn_q: [shape.width, shape.width],
  attn_k: [headWidth * shape.keyValueHeads, shape.width],
  attn_v: [headWidth * shape.keyValueHeads, shape.width],
  attn_output: [shape.width, shape.width],
  ffn_gate: [shape.hidden, shape.width],
  ffn_up: [shape.hidden, shape.width],
  ffn_down: [shape.width, shape.hidden],
};

/** Normal numbers from a seed (mulberry32, Box-Muller). */
function createNormal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

function tensor(name: string, dims: readonly number[], value: () => number): GgufTensorToWrite {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const data = new Uint8Array(Float32Array.from({ length: count }, value).buffer);
  return { name, type: 'F32', shape: dims, data };
}

const letters = Array.from(
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?<>/|_[]:',
);
export const controlTokens = ['<s>', '</s>', '<|im_start|>', '<|im_end|>'];
const normal = 1;
const unknown = 2;
const control = 3;
const userDefined = 4;
const byte = 6;

type TypedToken = readonly [text: string, type: number, score: number];

/** Tokens of a vocabulary beside its letters. */
export interface SpecialTokens {
  /** The first two begin and end texts in a SentencePiece vocabulary, the first and fourth in a byte-pair one. */
  readonly controls: readonly string[];
  /** Found in any text, as tags of tool calls are in some vocabularies. */
  readonly tags?: readonly string[];
}

/** A SentencePiece vocabulary whose merges can spell "</s>", with byte fallback. */
function sentencePieceTokens({ controls, tags = [] }: SpecialTokens): TypedToken[] {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');
  const words = ['he', 'll', 'hell', 'hello', '▁hello', '▁w', 'or', 'ld', '</', 's>', 'th', '▁th'];
  return [
    ['<unk>', unknown, 0],
    ...controls.map((text): TypedToken => [text, control, 0]),
    ...tags.map((text): TypedToken => [text, userDefined, 0]),
    ...Array.from({ length: 256 }, (_, i): TypedToken => [`<0x${hex(i)}>`, byte, 0]),
    ...words.map((text, i): TypedToken => [text, normal, -1 - i]),
    ...['▁', ...letters].map((text, i): TypedToken => [text, normal, -100 - i]),
  ];
}

/** GPT-2's letters for bytes: printable ones stand for themselves, the others from U+0100 on. */
function byteLetters(): string[] {
  const printable = (b: number): boolean =>
    (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
}

const merges = ['h e', 'l l', 'he ll', 'hell o', 'Ġ w', 'o r', 'Ġw or'];

type Vocabulary = 'sentencepiece' | 'byte-pair';

function vocabularyMetadata(
  kind: Vocabulary,
  special: SpecialTokens,
): [size: number, metadata: [string, GgufValue][]] {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  if (kind === 'sentencepiece') {
    const tokens = sentencePieceTokens(special);
    return [
      tokens.length,
      [
        [key('model'), gguf.string('llama')],
        [key('tokens'), gguf.strings(tokens.map(([text]) => text))],
        [key('scores'), gguf.float32s(tokens.map(([, , score]) => score))],
        [key('token_type'), gguf.int32s(tokens.map(([, type]) => type))],
        [key('bos_token_id'), gguf.uint32(1)],
        [key('eos_token_id'), gguf.uint32(2)],
        [key('unknown_token_id'), gguf.uint32(0)],
      ],
    ];
  }
  const merged = merges.map((merge) => merge.replace(' ', ''));
  const { controls, tags = [] } = special;
  const tokens = [...controls, ...tags, ...byteLetters(), ...merged];
  const typeOf = (token: string): number =>
    controls.includes(token) ? control : tags.includes(token) ? userDefined : normal;
  return [
    tokens.length,
    [
      [key('model'), gguf.string('gpt2')],
      [key('pre'), gguf.string('gpt-2')],
      [key('tokens'), gguf.strings(tokens)],
      [key('token_type'), gguf.int32s(tokens.map(typeOf))],
      [key('merges'), gguf.strings(merges)],
      [key('bos_token_id'), gguf.uint32(0)],
      [key('eos_token_id'), gguf.uint32(Math.min(3, controls.length - 1))],
      [key('add_bos_token'), gguf.bool(false)],
    ],
  ];
}

async function write(
  path: string,
  metadata: readonly [string, GgufValue][],
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  await using sink = await openFileSink(path);
  await writeGguf(sink, { metadata: new Map(metadata), tensors });
  await sink.commit();
}

export interface TinyModelOptions {
  readonly vocabulary?: Vocabulary;
  readonly seed?: number;
  /** Spread of the weights, in units of 1/√inputs. */
  readonly spread?: number;
  readonly template?: string;
  readonly special?: SpecialTokens;
  /** Replaces metadata, to make files that must be refused. */
  readonly metadata?: readonly [string, GgufValue][];
}

/** A random Llama of two blocks in float32, about 0.5 MB. */
export async function writeTinyModel(
  path: string,
  {
    vocabulary = 'byte-pair',
    seed = 1,
    spread = 1.5,
    template,
    special = { controls: controlTokens },
    metadata = [],
  }: TinyModelOptions = {},
): Promise<void> {
  const next = createNormal(seed);
  const [size, tokens] = vocabularyMetadata(vocabulary, special);
  const matrix = (name: string, rows: number, columns: number): GgufTensorToWrite =>
    tensor(`${name}.weight`, [rows, columns], () => (next() * spread) / Math.sqrt(columns));
  const ones = (name: string): GgufTensorToWrite =>
    tensor(`${name}.weight`, [shape.width], () => 1);
  const blocks = Array.from({ length: shape.layers }, (_, layer) => [
    ...Object.entries(projections).map(([name, [rows, columns]]) =>
      matrix(`blk.${layer}.${name}`, rows, columns),
    ),
    ones(`blk.${layer}.attn_norm`),
    ones(`blk.${layer}.ffn_norm`),
  ]);
  const chatTemplate: [string, GgufValue][] =
    template === undefined ? [] : [['tokenizer.chat_template', gguf.string(template)]];
  await write(
    path,
    [
      ['general.architecture', gguf.string('llama')],
      ['llama.context_length', gguf.uint32(shape.context)],
      ['llama.embedding_length', gguf.uint32(shape.width)],
      ['llama.block_count', gguf.uint32(shape.layers)],
      ['llama.feed_forward_length', gguf.uint32(shape.hidden)],
      ['llama.attention.head_count', gguf.uint32(shape.heads)],
      ['llama.attention.head_count_kv', gguf.uint32(shape.keyValueHeads)],
      ['llama.attention.layer_norm_rms_epsilon', gguf.float32(1e-5)],
      ['llama.rope.dimension_count', gguf.uint32(headWidth)],
      ['llama.vocab_size', gguf.uint32(size)],
      ...tokens,
      ...chatTemplate,
      ...metadata,
    ],
    [
      // Unit columns: what comes in is as large as what the blocks add.
      tensor('token_embd.weight', [size, shape.width], next),
      ...blocks.flat(),
      ones('output_norm'),
      tensor('output.weight', [size, shape.width], next),
    ],
  );
}

/** A LoRA adapter for the tiny model that changes what it says. */
export async function writeTinyAdapter(
  path: string,
  {
    seed,
    rank = 4,
    width = shape.width,
    targets = Object.keys(projections),
    scale = 1,
  }: {
    readonly seed: number;
    readonly rank?: number;
    readonly width?: number;
    readonly targets?: readonly string[];
    /** Of B. */
    readonly scale?: number;
  },
): Promise<void> {
  const next = createNormal(seed);
  const changed = Object.entries(projections).filter(([name]) => targets.includes(name));
  const tensors = Array.from({ length: shape.layers }, (_, layer) =>
    changed.flatMap(([name, [out, into]]) => [
      tensor(
        `blk.${layer}.${name}.weight.lora_a`,
        [rank, into === shape.width ? width : into],
        () => next() / Math.sqrt(into),
      ),
      tensor(
        `blk.${layer}.${name}.weight.lora_b`,
        [out, rank],
        () => (scale * next()) / Math.sqrt(rank),
      ),
    ]),
  );
  await write(
    path,
    [
      ['general.type', gguf.string('adapter')],
      ['general.architecture', gguf.string('llama')],
      ['adapter.type', gguf.string('lora')],
      ['adapter.lora.alpha', gguf.float32(2 * rank)],
    ],
    tensors.flat(),
  );
}

/** A folder that is removed when the scope ends. */
export async function temporaryFolder(): Promise<AsyncDisposable & { path(name: string): string }> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-engine-'));
  return {
    path: (name) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> & { id?: string } : never;
type Call = WithoutId<EngineRequestInput>;
type GenerateCall = Partial<Omit<Extract<EngineRequestInput, { type: 'generate' }>, 'type'>>;

interface Generated {
  readonly text: string;
  readonly tokens: number[];
  readonly logprobs: TokenLogprob[];
  readonly events: GenerationEvent[];
  readonly finish: GenerationEvent['finish'];
}

export interface TestEngine extends AsyncDisposable {
  readonly process: ChildProcess;
  /** Resolves with the value of `result` or the model of `ready`; rejects with the CorralError. */
  call(request: Call): Promise<unknown>;
  /** Runs a generation to its end; greedy, 24 tokens, no end of turn, unless told otherwise. */
  generate(
    prompt: string,
    changes?: GenerateCall,
    onEvent?: (event: GenerationEvent) => void,
  ): Promise<Generated>;
  /** Exit code or signal. */
  readonly exited: Promise<number | string>;
}

interface Waiting {
  readonly events: GenerationEvent[];
  readonly onEvent: ((event: GenerationEvent) => void) | undefined;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

function collect(events: GenerationEvent[]): Generated {
  return {
    text: events.map((event) => event.text).join(''),
    tokens: events.flatMap((event) => event.tokens),
    logprobs: events.flatMap((event) => event.logprobs ?? []),
    events,
    finish: events.at(-1)?.finish,
  };
}

function deliver(waiting: Map<string, Waiting>, message: EngineMessage): void {
  if (message.type === 'tokens') {
    for (const event of message.events) {
      const request = waiting.get(event.id);
      request?.events.push(event);
      request?.onEvent?.(event);
      if (event.finish) request?.resolve(collect(request.events));
    }
    return;
  }
  if (message.type === 'progress') return;
  const request = waiting.get(message.id);
  if (message.type === 'error') request?.reject(fromErrorPayload(message.error));
  else request?.resolve(message.type === 'ready' ? message.model : message.value);
}

/** Starts an engine child; with `model` it is loaded before this resolves. */
export async function startEngine(
  model?: string,
  options: Record<string, number | string> = {
    n_ctx: 256,
    n_seq_max: 8,
    n_batch: 128,
    n_threads: 1,
  },
): Promise<TestEngine> {
  const worker = fileURLToPath(import.meta.resolve('@corral/engine/worker'));
  const child = fork(worker, [], { execPath: process.execPath, execArgv: [] });
  const waiting = new Map<string, Waiting>();
  let ids = 0;
  child.on('message', (message) => deliver(waiting, message as EngineMessage));
  const exited = new Promise<number | string>((resolve) => {
    child.on('exit', (code, signal) => {
      for (const request of waiting.values())
        request.reject(
          new CorralError('engine_failed', { params: { reason: String(signal ?? code) } }),
        );
      resolve(signal ?? code ?? -1);
    });
  });
  const send = (request: Call, onEvent?: (event: GenerationEvent) => void): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = request.id ?? `r${ids++}`;
      waiting.set(id, { events: [], onEvent, resolve, reject });
      child.send({ ...request, id });
    });
  const engine: TestEngine = {
    process: child,
    call: (request) => send(request),
    generate: async (text, changes = {}, onEvent) => {
      const request: Call = {
        type: 'generate',
        tenant: 't',
        prompt: { kind: 'text', text },
        sampling: { temperature: 0 },
        max_tokens: 24,
        ignore_eos: true,
        ...changes,
      };
      return (await send(request, onEvent)) as Generated;
    },
    exited,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
  if (model !== undefined) await engine.call({ type: 'load', model_path: model, options });
  return engine;
}
