// The native seam without native code: a byte-level vocabulary with three control tokens, and a "model"
// whose logits depend on every cached token of the sequence and on the adapter, so that a wrong position,
// sequence or adapter changes the text. Implements the same interface, obeys the same limits.
import { CorralError } from '@corral/contracts';
import type {
  ContextOptions,
  NativeAdapter,
  NativeBatch,
  NativeContext,
  NativeLibrary,
  NativeModel,
  NativeVocabulary,
  SequenceMemory,
} from './native-types.ts';
import { createFakeStack, type FakeStack } from './native-stack.fake.ts';

const fakeControlTokens = ['<|im_start|>', '<|im_end|>', '<s>'];
const firstControl = 256;
const vocabularySize = firstControl + fakeControlTokens.length;
const endOfTurn = firstControl + 1;
/** An embedding is the beginning of a row of logits. */
const fakeWidth = 4;

function createFakeVocabulary(): NativeVocabulary {
  const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
  const pattern = /<\|im_start\|>|<\|im_end\|>|<s>/g;
  return {
    kind: 'byte-pair',
    size: vocabularySize,
    bos: firstControl + 2,
    eos: endOfTurn,
    addBos: true,
    addEos: false,
    tokenize: (text, { special }) => {
      if (!special) return bytes(text);
      const tokens: number[] = [];
      let end = 0;
      for (const match of text.matchAll(pattern)) {
        tokens.push(...bytes(text.slice(end, match.index)));
        tokens.push(firstControl + fakeControlTokens.indexOf(match[0]));
        end = match.index + match[0].length;
      }
      return [...tokens, ...bytes(text.slice(end))];
    },
    piece: (token) => Uint8Array.from(token < firstControl ? [token] : []),
    spelling: (token) => fakeControlTokens[token - firstControl] ?? String.fromCharCode(token),
    isControl: (token) => token >= firstControl,
    controlTokens: () => fakeControlTokens.map((_, i) => firstControl + i),
    endOfGeneration: new Set([endOfTurn]),
  };
}

interface FakeAdapter extends NativeAdapter {
  readonly salt: number;
  readonly closed: boolean;
}

function createFakeBatch(capacity: number) {
  const entries: { token: number; position: number; sequence: number; output: boolean }[] = [];
  const batch: NativeBatch = {
    capacity,
    get size() {
      return entries.length;
    },
    get outputs() {
      return entries.filter((entry) => entry.output).length;
    },
    clear: () => entries.splice(0),
    add: (token, position, sequence, output) => entries.push({ token, position, sequence, output }),
  };
  return { batch, entries };
}

/** Logits from a hash of the cached entries: each entry is a token and the adapter it was fed under. */
function fakeLogits(cache: readonly number[], random: (token: number) => number): Float32Array {
  let hash = 2166136261;
  for (const entry of cache) hash = Math.imul(hash ^ entry, 16777619);
  return Float32Array.from({ length: vocabularySize }, (_, token) => random(token ^ hash));
}

const noise = (x: number): number => {
  const mixed = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  return (((mixed ^ (mixed >>> 12)) >>> 0) / 0x1_0000_0000) * 10;
};

/** What a test can see and break. */
export interface FakeControls {
  /** Tokens of every decode so far. */
  readonly decodes: number[];
  /** Makes the next decode answer this. */
  nextOutcome: 'ok' | 'no-room' | 'invalid' | 'failed';
  /** Makes every logit NaN. */
  poisoned: boolean;
  modelClosed: boolean;
  cacheBytesPerToken: number;
  /** Tokens copied from one sequence to another. */
  copied: number;
  /** False: as a recurrent model. */
  partial: boolean;
}

/** A cached token; one object in several caches is a cell that sequences share. */
interface FakeCell {
  readonly value: number;
}

/** The caches of all sequences, and what can be done to them between decodes. */
function createFakeMemory(options: ContextOptions, controls: FakeControls) {
  const caches = new Map<number, FakeCell[]>();
  const shared = options.sharedTokens ?? null;
  const cacheOf = (sequence: number): FakeCell[] => {
    const cache = caches.get(sequence) ?? [];
    caches.set(sequence, cache);
    return cache;
  };
  const mustBeEmpty = (sequence: number): void => {
    if (cacheOf(sequence).length > 0) throw new Error(`sequence ${sequence} is not empty`);
  };
  const copyCells = (cells: readonly FakeCell[]): FakeCell[] => cells.map((cell) => ({ ...cell }));
  const memory: SequenceMemory = {
    sharedTokens: shared,
    partial: controls.partial,
    portable: true,
    truncate: (sequence, position) => {
      cacheOf(sequence).splice(position);
    },
    copy: (from, to, length) => {
      mustBeEmpty(to);
      const cells = cacheOf(from).slice(0, length);
      if (cells.length < length) throw new Error('copied more than there is');
      caches.set(to, shared === null ? copyCells(cells) : cells);
      controls.copied += length;
      return true;
    },
    save: (sequence) =>
      Uint8Array.from(Buffer.from(JSON.stringify(cacheOf(sequence).map(({ value }) => value)))),
    restore: (sequence, state) => {
      mustBeEmpty(sequence);
      const values = JSON.parse(Buffer.from(state).toString()) as number[];
      caches.set(
        sequence,
        values.map((value) => ({ value })),
      );
      return true;
    },
  };
  const cellsUsed = (): number => new Set([...caches.values()].flat()).size;
  return { memory, cacheOf, cellsUsed };
}

function createFakeContext(options: ContextOptions, controls: FakeControls): NativeContext {
  const { batch, entries } = createFakeBatch(options.batchTokens);
  const { memory, cacheOf, cellsUsed } = createFakeMemory(options, controls);
  let adapter: FakeAdapter | null = null;
  let stackEffect: ((sequence: number) => number) | null = null;
  let rows: Float32Array[] = [];
  const rowAt = (index: number): Float32Array => {
    const row = rows[index];
    if (!row) throw new Error(`there is no row ${index}`);
    return row;
  };
  return {
    ...memory,
    batch,
    sequenceTokens: options.sequenceTokens,
    sequences: options.sequences,
    outputs: options.outputs,
    decodeMs: 0,
    decode: () => {
      const outcome = controls.nextOutcome;
      controls.nextOutcome = 'ok';
      if (outcome !== 'ok') return outcome;
      if (adapter?.closed) throw new Error('decoded with a freed adapter');
      if (batch.size > batch.capacity || batch.outputs > options.outputs || batch.size === 0)
        throw new Error('llama.cpp would abort here');
      if (options.sharedTokens !== undefined && cellsUsed() + batch.size > options.sharedTokens)
        return 'no-room';
      controls.decodes.push(batch.size);
      rows = [];
      for (const { token, position, sequence, output } of entries) {
        const cache = cacheOf(sequence);
        const outside = token < 0 || token >= vocabularySize || sequence >= options.sequences;
        if (outside || position !== cache.length || position >= options.sequenceTokens)
          return 'invalid';
        cache.push({ value: token * 31 + (stackEffect?.(sequence) ?? adapter?.salt ?? 0) });
        const random = controls.poisoned ? () => NaN : noise;
        if (output)
          rows.push(
            fakeLogits(
              cache.map(({ value }) => value),
              random,
            ),
          );
      }
      return 'ok';
    },
    logits: rowAt,
    embedding: (index) => {
      if (!options.embeddings) throw new Error('this context makes no embeddings');
      return rowAt(index).subarray(0, fakeWidth);
    },
    useAdapter: (next) => {
      adapter = next as FakeAdapter | null;
      stackEffect = null;
    },
    useStack: (stack, ranks) => {
      adapter = null;
      const everything = { from: 0, to: stack.plan.ranks };
      stackEffect = (sequence) =>
        (stack as FakeStack).effect(ranks === null ? everything : (ranks[sequence] ?? null));
    },
    stackFailure: null,
    close: () => {},
  };
}

/** A library whose models answer by arithmetic. Files named `*bad*` are refused. */
export function createFakeLibrary(): NativeLibrary & { readonly controls: FakeControls } {
  const controls: FakeControls = {
    decodes: [],
    nextOutcome: 'ok',
    poisoned: false,
    modelClosed: false,
    cacheBytesPerToken: 1,
    copied: 0,
    partial: true,
  };
  const refuse = (path: string): never => {
    throw new CorralError('model_file_invalid', { params: { path, reason: 'it is bad' } });
  };
  const loadModel = (path: string): NativeModel => {
    if (path.includes('bad')) refuse(path);
    return {
      info: {
        architecture: 'fake',
        trainedContext: 512,
        parameters: 0,
        sizeBytes: 0,
        cacheBytesPerToken: controls.cacheBytesPerToken,
        chatTemplate: null,
        embeddingWidth: fakeWidth,
        pooling: null,
      },
      vocabulary: createFakeVocabulary(),
      createContext: (options) => createFakeContext(options, controls),
      loadAdapter: (file) => {
        if (file.includes('bad')) refuse(file);
        let closed = false;
        const adapter: FakeAdapter = {
          salt: 1000 + Buffer.from(file).reduce((sum, byte) => sum + byte, 0),
          get closed() {
            return closed;
          },
          close: () => {
            closed = true;
          },
        };
        return adapter;
      },
      createStack: createFakeStack,
      close: () => {
        controls.modelClosed = true;
      },
    };
  };
  return {
    controls,
    release: 'fake',
    hasGpu: false,
    loadModel,
    quantize: ({ source }) => (source.includes('bad') ? refuse(source) : Promise.resolve()),
  };
}
