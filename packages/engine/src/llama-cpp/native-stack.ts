// Several adapters side by side in one LoRA adapter of llama.cpp: A's rows and B's columns are their ranks.
// llama.cpp loads it from a file of zeros (sparse, removed at once), and ranks are filled and replaced in place
// afterwards, so no graph changes. The C API does not give the tensors of an adapter: the evaluation callback
// meets them when they are first used, before anything is computed with them, and they are filled then.
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { openLlama, type Address } from './functions.ts';
import type { MaskedStack } from './rank-mask.ts';
import { stackFormats } from './stack-formats.ts';
import type {
  NativeStack,
  PackedAdapter,
  RankRange,
  StackPlan,
  StackTarget,
} from './stack-types.ts';

export interface LlamaStack extends NativeStack, MaskedStack {
  /** The adapter as llama.cpp knows it. */
  readonly address: bigint;
}

const failed = (reason: string, cause?: unknown): CorralError =>
  new CorralError('engine_failed', { params: { reason }, cause });

/** Loads the file that the plan describes; all weights are zero. */
function loadZeros(model: Address, { header, bytes }: StackPlan): bigint {
  const path = join(tmpdir(), `corral-stack-${randomUUID()}.gguf`);
  try {
    const file = openSync(path, 'wx', 0o600);
    try {
      writeSync(file, header);
      ftruncateSync(file, header.byteLength + bytes);
    } finally {
      closeSync(file);
    }
    const address = openLlama().loadAdapter(model, path);
    if (!address) throw failed('llama.cpp refused the stack of adapters');
    return address;
  } catch (error) {
    if (CorralError.isInstance(error)) throw error;
    throw failed(`the stack of adapters could not be written to ${tmpdir()}`, error);
  } finally {
    rmSync(path, { force: true });
  }
}

type Side = 'a' | 'b';

/** Writes to the tensors of a stack, as far as they have been met. */
class StackTensors {
  readonly #plan: StackPlan;
  readonly #targets: ReadonlyMap<string, StackTarget>;
  /** `name.lora_a` or `.lora_b` → address. */
  readonly #met = new Map<string, number>();
  readonly #products = new Set<number>();
  readonly #others = new Set<number>();
  /** What lies where; also what is to be written to tensors that are met later. */
  readonly #contents = new Map<number, PackedAdapter>();

  constructor(plan: StackPlan) {
    this.#plan = plan;
    this.#targets = new Map(plan.targets.map((target) => [target.name, target]));
  }

  get complete(): boolean {
    return this.#met.size === 2 * this.#targets.size;
  }

  meets(tensor: number): boolean {
    if (this.#products.has(tensor)) return true;
    if (tensor === 0 || this.complete || this.#others.has(tensor)) return false;
    const name = openLlama().tensorName(BigInt(tensor));
    const side: Side | undefined = name.endsWith('.lora_a')
      ? 'a'
      : name.endsWith('.lora_b')
        ? 'b'
        : undefined;
    const target = side && this.#targets.get(name.slice(0, -'.lora_a'.length));
    if (!target || this.#met.has(name)) {
      this.#others.add(tensor);
      return false;
    }
    this.#met.set(name, tensor);
    if (side === 'a') this.#products.add(tensor);
    else this.#others.add(tensor);
    this.#fill(target, side, tensor);
    return side === 'a';
  }

  write(from: number, adapter: PackedAdapter): void {
    for (const [at, { rank }] of this.#contents)
      if (at < from + adapter.rank && from < at + rank) this.#contents.delete(at);
    this.#contents.set(from, adapter);
    this.#eachMet((target, side, tensor) => this.#put(target, side, { tensor, from, adapter }));
  }

  clear({ from, to }: RankRange): void {
    for (const [at, { rank }] of this.#contents)
      if (at < to && from < at + rank) this.#contents.delete(at);
    // Without B a rank has no effect, whatever A holds.
    this.#eachMet((target, side, tensor) => {
      if (side === 'b') this.#columns(target, tensor, { from, to });
    });
  }

  #eachMet(visit: (target: StackTarget, side: Side, tensor: number) => void): void {
    for (const target of this.#targets.values())
      for (const side of ['a', 'b'] as const) {
        const tensor = this.#met.get(`${target.name}.lora_${side}`);
        if (tensor !== undefined) visit(target, side, tensor);
      }
  }

  /** The first time a tensor is seen it is zero: scales of empty blocks, then all that is there. */
  #fill(target: StackTarget, side: Side, tensor: number): void {
    const { emptyRow } = stackFormats[this.#plan.format];
    if (side === 'b' && emptyRow) {
      const row = emptyRow(this.#plan.ranks);
      const size = row.byteLength;
      // One row, copied to all: a stride of 0 in the data.
      openLlama().setTensorRows(BigInt(tensor), row, 0, size, target.outputs, size, 0);
    }
    for (const [from, adapter] of this.#contents)
      this.#put(target, side, { tensor, from, adapter });
  }

  #put(
    target: StackTarget,
    side: Side,
    { tensor, from, adapter }: { tensor: number; from: number; adapter: PackedAdapter },
  ): void {
    const part = adapter.parts.get(target.name);
    const range = { from, to: from + adapter.rank };
    if (side === 'b') this.#columns(target, tensor, range, part?.b);
    else if (part) {
      const rowBytes = stackFormats[this.#plan.format].rowBytes(target.inputs);
      const size = adapter.rank * rowBytes;
      openLlama().setTensorRows(BigInt(tensor), part.a, from * rowBytes, size, 1, size, size);
    }
  }

  /** Columns of B from `values` [outputs, to − from], zeros without them. */
  #columns(
    { outputs }: StackTarget,
    tensor: number,
    { from, to }: RankRange,
    values?: Uint8Array,
  ): void {
    const { rowBytes, columnRuns, elementBytes } = stackFormats[this.#plan.format];
    const rowStride = rowBytes(this.#plan.ranks);
    const width = (to - from) * elementBytes;
    const zeros = values ?? new Uint8Array(width);
    for (const { column, count, offset } of columnRuns(from, to)) {
      const skip = (column - from) * elementBytes;
      openLlama().setTensorRows(
        BigInt(tensor),
        zeros.subarray(skip),
        offset,
        count * elementBytes,
        outputs,
        rowStride,
        values ? width : 0,
      );
    }
  }
}

function createStack(model: Address, plan: StackPlan): LlamaStack {
  const address = loadZeros(model, plan);
  const tensors = new StackTensors(plan);
  let open = true;
  return {
    plan,
    address,
    ranks: plan.ranks,
    get complete() {
      return tensors.complete;
    },
    meets: (tensor) => tensors.meets(tensor),
    write: (from, adapter) => tensors.write(from, adapter),
    clear: (range) => tensors.clear(range),
    close: () => {
      if (open) openLlama().freeAdapter(address);
      open = false;
    },
  };
}

/** The stacks of a model. */
export interface StackSet {
  readonly create: (plan: StackPlan) => NativeStack;
  /** Throws CorralError `closed` when the stack was closed, or is another model's. */
  readonly known: (stack: NativeStack) => LlamaStack;
  /** Closes all. */
  readonly close: () => void;
}

export function createStackSet(model: Address): StackSet {
  const stacks = new Map<NativeStack, LlamaStack>();
  return {
    create: (plan) => {
      const made = createStack(model, plan);
      const stack: NativeStack = {
        plan,
        write: (from, adapter) => made.write(from, adapter),
        clear: (range) => made.clear(range),
        close: () => {
          if (stacks.delete(stack)) made.close();
        },
      };
      stacks.set(stack, made);
      return stack;
    },
    known: (stack) => {
      const known = stacks.get(stack);
      if (!known) throw new CorralError('closed', { params: { what: 'stack of adapters' } });
      return known;
    },
    close: () => {
      for (const stack of stacks.keys()) stack.close();
    },
  };
}
