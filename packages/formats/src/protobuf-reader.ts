// The wire format of Protocol Buffers, as far as a reader of known messages needs it: fields one after the
// other, lengths checked against what is there. Source: protobuf.dev/programming-guides/encoding.
import { FormatError } from './format-error.ts';

export type WireField =
  | { readonly number: number; readonly kind: 'varint'; readonly value: number }
  | { readonly number: number; readonly kind: 'fixed32' | 'bytes'; readonly bytes: Uint8Array };

const broken = (at: number): FormatError =>
  new FormatError(`the Protocol Buffers message is damaged at byte ${at}`);

/** A varint at `at`; values beyond 2^53 are no sizes or ids and count as damage. */
function readVarint(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  let scale = 1;
  for (let next = at; next < bytes.length && next < at + 10; scale *= 128) {
    const byte = bytes[next] ?? 0;
    next += 1;
    value += (byte & 0x7f) * scale;
    // Negative numbers (pad_id -1) fill ten bytes; their value is not needed exactly.
    if ((byte & 0x80) === 0) return { value, next };
  }
  throw broken(at);
}

/** Bytes of the values that stand in the message as they are, by wire type. */
const fixedBytes: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** The fields of a message in order. Throws FormatError for bytes that are none. */
export function* readFields(bytes: Uint8Array): Generator<WireField> {
  for (let at = 0; at < bytes.length;) {
    const key = readVarint(bytes, at);
    const number = Math.floor(key.value / 8);
    const wireType = key.value % 8;
    if (number === 0) throw broken(at);
    at = key.next;
    if (wireType === 0) {
      const { value, next } = readVarint(bytes, at);
      yield { number, kind: 'varint', value };
      at = next;
      continue;
    }
    let length = fixedBytes[wireType];
    if (wireType === 2) {
      const size = readVarint(bytes, at);
      length = size.value;
      at = size.next;
    }
    if (length === undefined || length > bytes.length - at) throw broken(at);
    const value = bytes.subarray(at, at + length);
    at += length;
    // 64-bit numbers are in no message that is read here.
    if (wireType !== 1) yield { number, kind: wireType === 5 ? 'fixed32' : 'bytes', bytes: value };
  }
}
