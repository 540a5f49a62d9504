// Loads adapters in the form in which they will be decoded, and decides once how that is: side by side in
// stacks where the self-test passes, else one after the other. The decision waits for the first adapter: a
// model without adapters pays nothing. Knows no ids.
import { stat } from 'node:fs/promises';
import { openFileSource, readGguf } from '@corral/formats';
import { CorralError, type EngineOptions } from '@corral/contracts';
import type {
  NativeAdapter,
  NativeContext,
  NativeLibrary,
  NativeModel,
} from '../llama-cpp/native-types.ts';
import type { PackedAdapter } from '../llama-cpp/stack-types.ts';
import { createAdapterStacking, type AdapterStacking } from '../scheduler/adapter-stacking.ts';
import { createAdapterSwitching } from '../scheduler/adapter-switching.ts';
import type { DecodeStrategy } from '../scheduler/decode-strategy.ts';
import { baseMatrices, withLoraFile, type BaseMatrices, type LoraFile } from './lora-file.ts';
import { packAdapter } from './pack-adapter.ts';
import { createStackPlans, type StackPlans } from './stack-plans.ts';
import { testStacks } from './stack-self-test.ts';

export interface DecodableAdapter {
  readonly handle: NativeAdapter;
  /** In memory. */
  readonly bytes: number;
  /** Null when llama.cpp alone knows it. */
  readonly rank: number | null;
}

interface AdapterDecodingStatus {
  readonly mode: 'stacked' | 'switching';
  readonly reason: string;
  readonly stackBytes: number;
  readonly maxStackBytes: number;
  readonly stackRanks: number;
}

export interface AdapterDecoding extends DecodeStrategy {
  /** Throws CorralError `model_file_invalid` or FormatError when the file is not an adapter for this base. */
  load(path: string): Promise<DecodableAdapter>;
  isActive(adapter: NativeAdapter): boolean;
  /** The adapter as llama.cpp knows it, for contexts without stacks; loaded when it is first asked for. */
  native(adapter: NativeAdapter): NativeAdapter;
  /** Null before the first adapter was loaded. */
  readonly status: AdapterDecodingStatus | null;
}

export interface AdapterDecodingOptions {
  readonly library: NativeLibrary;
  readonly model: NativeModel;
  readonly modelPath: string;
  readonly context: NativeContext;
  readonly mode: EngineOptions['adapter_batching'];
}

/** Their caches compute rows in the order that ubatch-rows.ts knows; recurrent ones and others do not. */
const stackableArchitectures = new Set(['llama', 'qwen2', 'qwen3', 'mistral3']);

/** Stacks together may take this, or a quarter of the base if that is more. */
const minStackBytes = 512 * 2 ** 20;

interface Support {
  readonly base: BaseMatrices;
  readonly plans: StackPlans;
  readonly stacking: AdapterStacking;
}

type Decision = { readonly support: Support | null; readonly reason: string };

/** An adapter that lies in memory ready for stacks; llama.cpp loads it only if stacks fail. */
interface Resident {
  readonly path: string;
  readonly packed: PackedAdapter;
  native: NativeAdapter | null;
}

const formatFor = ({ half }: LoraFile, { exact }: BaseMatrices): PackedAdapter['format'] =>
  exact ? (half ? 'float16' : 'float32') : 'int8';

/** The file and what is made of it are in memory at once. */
function checkMemory(bytes: number): void {
  const [needed, available] = [2 * bytes, process.availableMemory()];
  if (needed <= available) return;
  const mebibytes = (value: number): string => `${Math.ceil(value / 2 ** 20)} MiB`;
  throw new CorralError('memory_too_small', {
    params: { needed: mebibytes(needed), available: mebibytes(available) },
  });
}

class Decoding implements AdapterDecoding {
  readonly #options: AdapterDecodingOptions;
  readonly #residents = new Map<NativeAdapter, Resident>();
  readonly #switching: DecodeStrategy;
  #decision: Decision | null = null;
  #deciding: Promise<Decision> | null = null;

  constructor(options: AdapterDecodingOptions) {
    this.#options = options;
    this.#switching = createAdapterSwitching(options.context);
  }

  run: DecodeStrategy['run'] = (plan) =>
    (this.#decision?.support?.stacking ?? this.#switching).run(plan);

  forget: DecodeStrategy['forget'] = (adapter) =>
    (this.#decision?.support?.stacking ?? this.#switching).forget(adapter);

  isActive(adapter: NativeAdapter): boolean {
    return this.#decision?.support?.stacking.isActive(adapter) ?? false;
  }

  get status(): AdapterDecodingStatus | null {
    if (!this.#decision) return null;
    const { support, reason } = this.#decision;
    const stacked = support !== null && support.stacking.failure === null;
    return {
      mode: stacked ? 'stacked' : 'switching',
      reason: support?.stacking.failure ?? reason,
      stackBytes: support?.stacking.bytes ?? 0,
      maxStackBytes: support ? this.#maxStackBytes : 0,
      stackRanks: support?.stacking.ranks ?? 0,
    };
  }

  native(adapter: NativeAdapter): NativeAdapter {
    const resident = this.#residents.get(adapter);
    if (!resident) return adapter;
    resident.native ??= this.#options.model.loadAdapter(resident.path);
    return resident.native;
  }

  async load(path: string): Promise<DecodableAdapter> {
    const { size } = await stat(path);
    checkMemory(size);
    this.#deciding ??= this.#decide();
    const { support } = await this.#deciding;
    const packed = support && (await this.#pack(path, support));
    if (!support || !packed)
      return { handle: this.#options.model.loadAdapter(path), bytes: size, rank: null };
    if (await support.plans.include(packed)) support.stacking.reset();
    const handle: NativeAdapter = {
      close: () => {
        this.#residents.get(handle)?.native?.close();
        this.#residents.delete(handle);
      },
    };
    this.#residents.set(handle, { path, packed, native: null });
    return { handle, bytes: packed.bytes, rank: packed.rank };
  }

  /** Null when a stack cannot hold it. */
  #pack(path: string, { base }: Support): Promise<PackedAdapter | null> {
    return withLoraFile(path, base, (file) => packAdapter(file, formatFor(file, base)));
  }

  async #decide(): Promise<Decision> {
    const reason = await this.#obstacle();
    const { modelPath } = this.#options;
    if (reason !== null) return (this.#decision = { support: null, reason });
    await using source = await openFileSource(modelPath);
    const base = baseMatrices(await readGguf(source));
    const plans = createStackPlans({ base, maxBytes: this.#maxStackBytes });
    const stacking = this.#createStacking(base, plans);
    const passed = 'the self-test passed';
    return (this.#decision = { support: { base, plans, stacking }, reason: passed });
  }

  get #maxStackBytes(): number {
    return Math.max(minStackBytes, this.#options.model.info.sizeBytes / 4);
  }

  /** Why stacks are not used; null when they are. */
  async #obstacle(): Promise<string | null> {
    const { library, model, mode } = this.#options;
    if (mode === 'switching') return 'so configured';
    if (mode === 'contexts')
      return 'a context for each adapter is not made: adapters are switched one after the other';
    if (library.hasGpu) return 'on a GPU each adapter would stop the computation of every matrix';
    const { architecture } = model.info;
    if (!stackableArchitectures.has(architecture))
      return `the order of rows is not known for the architecture "${architecture}"`;
    return testStacks(library);
  }

  #createStacking(base: BaseMatrices, plans: StackPlans): AdapterStacking {
    const { context, model } = this.#options;
    const blocks = [...base.matrices.keys()].filter((name) => name.endsWith('attn_output.weight'));
    const stacking: AdapterStacking = createAdapterStacking({
      context,
      createStack: (plan) => model.createStack(plan),
      packed: (adapter) => {
        const packed = this.#residents.get(adapter)?.packed ?? null;
        if (!packed || stacking.failure !== null) return null;
        return plans.find(packed.format, packed.rank) ? packed : null;
      },
      native: (adapter) => this.native(adapter),
      planFor: (format, ranks) => plans.find(format, ranks),
      rankCost: () => plans.rankCost,
      layers: Math.max(1, blocks.length),
      maxBytes: this.#maxStackBytes,
    });
    return stacking;
  }
}

export const createAdapterDecoding = (options: AdapterDecodingOptions): AdapterDecoding =>
  new Decoding(options);
