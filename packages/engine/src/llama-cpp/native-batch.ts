// A llama_batch in memory that JavaScript writes and native code reads: filled in place, no copy. Each
// token belongs to exactly one sequence.
import koffi from 'koffi';
import type { NativeBatch } from './native-types.ts';
import type { StructValue } from './struct-layouts.ts';
import type { BatchRows } from './ubatch-rows.ts';

export interface LlamaBatch extends NativeBatch {
  /** The struct to pass by value; addresses stay the same, `n_tokens` is current. */
  struct(): StructValue<'llama_batch'>;
  /** Sequence and output of each token; valid until the batch changes. */
  rows(): BatchRows;
}

// A buffer of its own: Node's pooled buffers share memory and may be small slices.
const bytes = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(length));

export function createBatch(capacity: number): LlamaBatch {
  const memory = {
    token: bytes(capacity * 4),
    pos: bytes(capacity * 4),
    sequence: bytes(capacity * 4),
    sequenceCount: bytes(capacity * 4),
    sequencePointer: bytes(capacity * 8),
    logits: bytes(capacity),
  };
  const token = new Int32Array(memory.token.buffer);
  const position = new Int32Array(memory.pos.buffer);
  const sequence = new Int32Array(memory.sequence.buffer);
  new Int32Array(memory.sequenceCount.buffer).fill(1);
  const firstSequence = koffi.address(memory.sequence);
  const pointers = new BigUint64Array(memory.sequencePointer.buffer);
  for (let i = 0; i < capacity; i++) pointers[i] = firstSequence + BigInt(i * 4);

  const struct: StructValue<'llama_batch'> = {
    n_tokens: 0,
    token: koffi.address(memory.token),
    embd: null,
    pos: koffi.address(memory.pos),
    n_seq_id: koffi.address(memory.sequenceCount),
    seq_id: koffi.address(memory.sequencePointer),
    logits: koffi.address(memory.logits),
  };
  let size = 0;
  let outputs = 0;
  return {
    capacity,
    get size() {
      return size;
    },
    get outputs() {
      return outputs;
    },
    clear: () => {
      size = 0;
      outputs = 0;
    },
    add: (id, at, sequenceId, output) => {
      token[size] = id;
      position[size] = at;
      sequence[size] = sequenceId;
      memory.logits[size] = output ? 1 : 0;
      size++;
      if (output) outputs++;
    },
    rows: () => ({ size, sequence, output: memory.logits }),
    struct: () => {
      struct.n_tokens = size;
      return struct;
    },
  };
}
