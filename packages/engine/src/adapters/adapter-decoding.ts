// Loads adapters in the form in which they will be decoded, and decides once how that is: side by side in
// stacks where the self-test passes, else each in a context of its own where memory allows, else one after the
// other. The decision waits for the first adapter: a model without adapters pays nothing. Knows no ids.
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
import { createAdapterContexts, type AdapterContexts } from '../scheduler/adapter-contexts.ts';
import { createAdapterStacking, type AdapterStacking } from '../scheduler/adapter-stacking.ts';
import { createAdapterSwitching } from '../scheduler/adapter-switching.ts';
import type { DecodeStrategy } from '../scheduler/decode-strategy.ts';
import { createSequencePlaces, type SequencePlaces } from '../scheduler/sequence-places.ts';
import {
  baseMatrices,
  createFileBuffer,
  withLoraFile,
  type BaseMatrices,
  type LoraFile,
} from './lora-file.ts';
import { packAdapter } from './pack-adapter.ts';
import { planSideContexts, type SideContextPlan } from './side-contexts.ts';
import { createStackPlans, type StackPlans } from './stack-plans.ts';
import { testStacks } from './stack-self-test.ts';

export interface DecodableAdapter {
  readonly handle: NativeAdapter;
  /** In memory. */
  readonly bytes: number;
  /** Null when llama.cpp alone knows it. */
  readonly rank: number | null;
}

/** How streams of different adapters are decoded; the first is fastest, the last always possible. */
type Way = 'stacked' | 'contexts' | 'switching';

/** What is tried, in this order. */
const ways: Record<EngineOptions['adapter_batching'], readonly Way[]> = {
  auto: ['stacked', 'contexts', 'switching'],
  stacked: ['stacked', 'contexts', 'switching'],
  contexts: ['contexts', 'switching'],
  switching: ['switching'],
};

interface AdapterDecodingStatus {
  readonly mode: Way;
  readonly reason: string;
  readonly stackBytes: number;
  readonly maxStackBytes: number;
  readonly stackRanks: number;
  /** Beside the main one; null where none are used. */
  readonly contexts: {
    readonly count: number;
    readonly sequences: number;
    readonly maxSequences: number;
    readonly bytes: number;
  } | null;
}

export interface AdapterDecoding extends DecodeStrategy {
  /** The context to schedule with: its sequences may lie in others. */
  readonly context: NativeContext;
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
  readonly threads: number;
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

interface SideContexts {
  readonly plan: SideContextPlan;
  readonly strategy: AdapterContexts;
}

interface Decision {
  readonly support: Support | null;
  readonly reason: string;
}

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
  readonly #places: SequencePlaces;
  readonly #switching: DecodeStrategy;
  readonly #fileBuffer = createFileBuffer();
  #contexts: SideContexts | null = null;
  /** Stacks have failed. */
  #gaveUp = false;
  #decision: Decision | null = null;
  #deciding: Promise<Decision> | null = null;

  constructor(options: AdapterDecodingOptions) {
    this.#options = options;
    this.#places = createSequencePlaces(options.context);
    this.#switching = createAdapterSwitching(options.context, (adapter) => this.native(adapter));
  }

  get context(): NativeContext {
    return this.#places.context;
  }

  run: DecodeStrategy['run'] = (plan) => {
    this.#strategy.run(plan);
    // What was left of the step has been switched; from the next one on there are contexts.
    if (!this.#gaveUp && this.#stacking && !this.#usesStacks) {
      this.#gaveUp = true;
      this.#planContexts();
    }
  };

  forget: DecodeStrategy['forget'] = (adapter) => {
    for (const strategy of [this.#stacking, this.#contexts?.strategy, this.#switching])
      strategy?.forget(adapter);
  };

  isActive(adapter: NativeAdapter): boolean {
    const strategy = this.#usesStacks ? this.#stacking : this.#contexts?.strategy;
    return strategy?.isActive(adapter) ?? false;
  }

  get status(): AdapterDecodingStatus | null {
    if (!this.#decision) return null;
    const { support, reason } = this.#decision;
    return {
      mode: this.#usesStacks ? 'stacked' : this.#contexts ? 'contexts' : 'switching',
      reason: support?.stacking.failure ?? reason,
      stackBytes: support?.stacking.bytes ?? 0,
      maxStackBytes: support ? this.#maxStackBytes : 0,
      stackRanks: support?.stacking.ranks ?? 0,
      contexts: this.#contextStatus,
    };
  }

  get #contextStatus(): AdapterDecodingStatus['contexts'] {
    if (!this.#contexts) return null;
    const { plan, strategy } = this.#contexts;
    const { count, seats } = strategy;
    const bytes = plan.bytes(count, seats);
    return { count, sequences: seats, maxSequences: plan.maxSeats, bytes };
  }

  get #stacking(): AdapterStacking | undefined {
    return this.#decision?.support?.stacking;
  }

  get #usesStacks(): boolean {
    return this.#stacking !== undefined && this.#stacking.failure === null;
  }

  get #strategy(): DecodeStrategy {
    if (this.#usesStacks && this.#stacking) return this.#stacking;
    return this.#contexts?.strategy ?? this.#switching;
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
    const pack = (file: LoraFile) => packAdapter(file, formatFor(file, base));
    return withLoraFile(path, base, pack, this.#fileBuffer);
  }

  async #decide(): Promise<Decision> {
    const reasons: string[] = [];
    for (const way of ways[this.#options.mode]) {
      const obstacle = await this.#obstacles[way]();
      if (obstacle === null) break;
      reasons.push(obstacle);
    }
    this.#decision = await this.#decided(reasons);
    return this.#decision;
  }

  /** `reasons`: why the ways before the one that is taken are not. */
  async #decided(reasons: readonly string[]): Promise<Decision> {
    const { mode, modelPath } = this.#options;
    const reason = reasons.join('; ') || 'so configured';
    if (ways[mode][reasons.length] !== 'stacked') return { support: null, reason };
    await using source = await openFileSource(modelPath);
    const base = baseMatrices(await readGguf(source));
    const plans = createStackPlans({ base, maxBytes: this.#maxStackBytes });
    const stacking = this.#createStacking(base, plans);
    return { support: { base, plans, stacking }, reason: 'the self-test passed' };
  }

  get #maxStackBytes(): number {
    return Math.max(minStackBytes, this.#options.model.info.sizeBytes / 4);
  }

  /** Why a way cannot be taken; null when it can. */
  readonly #obstacles: Record<Way, () => Promise<string | null> | string | null> = {
    stacked: () => {
      const { library, model } = this.#options;
      if (library.hasGpu) return 'on a GPU each adapter would stop the computation of every matrix';
      const { architecture } = model.info;
      if (!stackableArchitectures.has(architecture))
        return `the order of rows is not known for the architecture "${architecture}"`;
      return testStacks(library);
    },
    contexts: () => this.#planContexts(),
    switching: () => null,
  };

  /** Makes side contexts possible; says why not where they are not. */
  #planContexts(): string | null {
    const { model, context, threads } = this.#options;
    const availableBytes = process.availableMemory();
    const plan = planSideContexts({ model, main: context, threads, availableBytes });
    if (typeof plan === 'string') return plan;
    const strategy = createAdapterContexts({
      places: this.#places,
      maxSeats: plan.maxSeats,
      open: (sequences) => {
        if (plan.bytes(1, sequences) > process.availableMemory()) return null;
        return model.createContext(plan.options(sequences));
      },
      native: (adapter) => this.native(adapter),
    });
    this.#contexts = { plan, strategy };
    return null;
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
