// Files made by hand for tests, with every field free to be wrong. Knows no rules: the writers do.

/** Little-endian bytes, field by field. */
export class RawFile {
  #parts: number[] = [];

  uint8(...values: number[]): this {
    this.#parts.push(...values);
    return this;
  }
  uint32(...values: number[]): this {
    for (const value of values) this.#parts.push(...new Uint8Array(Uint32Array.of(value).buffer));
    return this;
  }
  uint64(...values: (number | bigint)[]): this {
    for (const value of values)
      this.#parts.push(...new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
    return this;
  }
  /** Characters without a length. */
  text(value: string): this {
    this.#parts.push(...new TextEncoder().encode(value));
    return this;
  }
  /** A length of 64 bits, then the characters. */
  string(value: string): this {
    return this.uint64(new TextEncoder().encode(value).byteLength).text(value);
  }
  zeros(count: number): this {
    for (let i = 0; i < count; i++) this.#parts.push(0);
    return this;
  }
  bytes(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#parts);
  }
}

/** Magic, version and counts of a GGUF. */
export const rawGguf = (tensors: number | bigint, entries: number | bigint, version = 3): RawFile =>
  new RawFile().text('GGUF').uint32(version).uint64(tensors, entries);

/** A safetensors file: header text as it stands, then data. */
export function rawSafetensors(header: string, dataBytes: number): Uint8Array<ArrayBuffer> {
  const length = new TextEncoder().encode(header).byteLength;
  return new RawFile().uint64(length).text(header).zeros(dataBytes).bytes();
}
