// Reads a matrix's weights from end to end just before they are multiplied. ggml's products of a few rows (2 to
// about 30) walk over four rows of weights at a time, which keeps processors from fetching ahead: they wait for
// memory at every line, and read at 3 GB/s what can be read at 28. A plain pass brings the matrix into the
// processor's caches first. Nothing is computed in another way. Whether it pays depends on processor, format and
// number of rows, so both ways are tried (warmth-trial.ts). For an evaluation callback, on a CPU.
import koffi from 'koffi';
import { openLlama } from './functions.ts';
import type { NativeTensors } from './native-tensors.ts';
import { createWarmthTrial } from './warmth-trial.ts';

export interface WeightWarmer {
  /** The stack of the following decodes; null = none. Its matrices are known for as long as it is. */
  use(stack: object | null): void;
  /** Before a decode of so many tokens. */
  begin(tokens: number): void;
  /** Before a node is computed. True: it must be, before others are asked for. */
  ask(tensor: number): boolean;
  /** After the decode, which took `ms`. */
  end(ms: number): void;
}

/** A larger matrix does not stay in the caches until it is read. */
const mostBytes = 2 ** 25;
/** F32, F16, Q8_0, BF16: what is multiplied as it lies in the file. Others are laid out anew, in order of reading. */
const types = new Set([0, 1, 8, 30]);
/** What is warmed before something must be computed: about a third of a second-level cache. */
const aheadBytes = 300_000;

type Bytes = Uint8Array<ArrayBufferLike>;

/** Two views of the same memory: comparing one with itself would read nothing. */
interface Weights {
  readonly one: Bytes;
  readonly other: Bytes;
  readonly rows: number;
}

export function createWeightWarmer(tensors: NativeTensors): WeightWarmer {
  const trial = createWarmthTrial();
  /**
   * Of the base, by address, and null for what is not to be warmed: the base lives as long as its contexts. An
   * address that was an adapter's may become another's, so theirs are kept with their stack.
   */
  const known = new Map<number, Weights | null>();
  const stacks = new WeakMap<object, Map<number, Weights>>();
  let ofStack: Map<number, Weights> | null = null;
  let isOn = false;
  let tokens = 0;
  let ahead = 0;

  function look(source: number): Weights | null {
    const found = describe(source);
    if (found?.isBase !== false) known.set(source, found);
    else ofStack?.set(source, found);
    return found;
  }

  function describe(source: number): (Weights & { readonly isBase: boolean }) | null {
    const llama = openLlama();
    const name = source === 0 ? '' : llama.tensorName(BigInt(source));
    const isBase = name.endsWith('.weight');
    const isStack = ofStack !== null && /\.lora_[ab]$/.test(name);
    if (!(isBase || isStack) || !types.has(tensors.type(source))) return null;
    const bytes = Number(llama.tensorBytes(BigInt(source)));
    const data = BigInt(tensors.data(source));
    // On a device its address means nothing here; laid out anew it may be shorter than its type says.
    const isReadable = llama.holdsPlain(BigInt(tensors.buffer(source)), data, bytes);
    if (bytes > mostBytes || !isReadable) return null;
    const memory = koffi.view(data, bytes);
    const { rows } = tensors.shape(source);
    return { one: new Uint8Array(memory), other: new Uint8Array(memory), rows, isBase };
  }

  return {
    use: (stack) => {
      ofStack = stack && (stacks.get(stack) ?? new Map<number, Weights>());
      if (stack && ofStack) stacks.set(stack, ofStack);
    },
    begin: (count) => {
      tokens = count;
      ahead = 0;
      isOn = trial.choose(count);
    },
    ask: (tensor) => {
      if (!isOn) return false;
      const source = tensors.firstSource(tensor);
      let weights = ofStack?.get(source) ?? known.get(source);
      if (weights === undefined) weights = look(source);
      // Rows of an embedding are picked, not multiplied.
      if (!weights || tensors.shape(tensor).columns !== weights.rows) return false;
      Buffer.compare(weights.one, weights.other);
      ahead += weights.one.byteLength;
      if (ahead < aheadBytes) return false;
      ahead = 0;
      return true;
    },
    end: (ms) => trial.record(tokens, isOn, ms),
  };
}
