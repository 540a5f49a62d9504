// The bytes of one tensor on their way into a file: whole, made when their turn comes, or made piece by
// piece, so that a tensor larger than memory can be written. Knows no file format.
import type { ByteSink } from './byte-sink.ts';

/** As stored. A function is called when the tensor's turn comes. */
export type TensorData =
  | Uint8Array
  | (() => Uint8Array | Promise<Uint8Array> | AsyncIterable<Uint8Array>);

/** RangeError when the data have another length than `expected`, which the file's header says. */
export async function writeTensorData(
  sink: ByteSink,
  { name, data }: { readonly name: string; readonly data: TensorData },
  expected: number,
): Promise<void> {
  const made = await (typeof data === 'function' ? data() : data);
  let written = 0;
  if (made instanceof Uint8Array) {
    written = made.byteLength;
    if (written === expected) await sink.write(made);
  } else {
    for await (const piece of made) {
      written += piece.byteLength;
      if (written > expected) break;
      await sink.write(piece);
    }
  }
  if (written !== expected)
    throw new RangeError(`the tensor "${name}" has ${written} bytes; its shape needs ${expected}`);
}
