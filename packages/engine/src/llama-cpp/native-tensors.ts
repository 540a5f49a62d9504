// Reads members of ggml's tensors where they lie, without a call: views over the memory around them, made
// once for each region. Reads only. Knows the offsets (struct-layouts.ts) and nothing of what tensors mean.
import koffi from 'koffi';
import { measureLayout } from './struct-layouts.ts';

const layout = measureLayout();
/** Index of a member in 32-bit words from the start of the tensor. */
const word = (member: string): number => (layout[`ggml_tensor.${member}`]?.[0] ?? 0) / 4;
const type = word('type');
const buffer = word('buffer');
const columns = word('ne');
const firstSource = word('src');
const data = word('data');

const float32Type = 0; // GGML_TYPE_F32
const regionBytes = 2 ** 22;
/** So that a tensor that begins in a region ends in its view. */
const overlapBytes = 4096;
/** Addresses of products change with the graph; more than this are stale. */
const maxProducts = 4096;

export interface NativeTensors {
  /** Address of the tensor's first source; 0 = none. */
  firstSource(tensor: number): number;
  /** Numbers of a row, and rows, of the first matrix of a tensor. */
  shape(tensor: number): { readonly columns: number; readonly rows: number };
  /** Value of `enum ggml_type`. */
  type(tensor: number): number;
  /** Address of the backend's buffer that holds its numbers; 0 = none. */
  buffer(tensor: number): number;
  /** Where its numbers lie. */
  data(tensor: number): number;
  /** A computed two-dimensional float32 tensor, row-major; null when it is of another type. */
  floats(tensor: number): { rows: number; columns: number; values: Float32Array } | null;
}

export function createNativeTensors(): NativeTensors {
  const regions = new Map<number, Uint32Array>();
  const products = new Map<number, Float32Array>();
  let current: Uint32Array = new Uint32Array(0);
  let start = Number.NaN;

  /** Index into `current` of the word at `address`. */
  function seek(address: number): number {
    const region = address - (address % regionBytes);
    if (region !== start) {
      let view = regions.get(region);
      if (!view) {
        view = new Uint32Array(koffi.view(BigInt(region), regionBytes + overlapBytes));
        regions.set(region, view);
      }
      current = view;
      start = region;
    }
    return (address - region) / 4;
  }
  const pointer = (at: number): number =>
    (current[at] as number) + (current[at + 1] as number) * 2 ** 32;

  return {
    firstSource: (tensor) => pointer(seek(tensor) + firstSource),
    shape: (tensor) => {
      const at = seek(tensor) + columns;
      return { columns: current[at] as number, rows: current[at + 2] as number };
    },
    type: (tensor) => {
      // `current` changes in `seek`: it may be read only afterwards.
      const at = seek(tensor);
      return current[at + type] as number;
    },
    buffer: (tensor) => pointer(seek(tensor) + buffer),
    data: (tensor) => pointer(seek(tensor) + data),
    floats: (tensor) => {
      const at = seek(tensor);
      if (current[at + type] !== float32Type) return null;
      const width = current[at + columns] as number;
      const rows = current[at + columns + 2] as number;
      const address = pointer(at + data);
      let values = products.get(address);
      if (!values || values.length < rows * width) {
        if (products.size > maxProducts) products.clear();
        values = new Float32Array(koffi.view(BigInt(address), rows * width * 4));
        products.set(address, values);
      }
      return { rows, columns: width, values };
    },
  };
}
