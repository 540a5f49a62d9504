// GGUF headers written by hand, byte for byte, in the shapes of published holes of GGUF parsers. No writer of
// this package would write them; a test for each is in hostile-headers.test.ts. `expected` is why it is refused.

type Dim = bigint;

interface RawTensor {
  readonly name: string;
  /** Innermost first, as in the file. */
  readonly dims: readonly Dim[];
  /** ggml's id: 0 is F32, 8 is Q8_0. */
  readonly type: number;
  readonly offset: bigint;
}

interface RawGguf {
  readonly tensors?: readonly RawTensor[];
  /** What the header claims, when it is not the truth. */
  readonly tensorCount?: bigint;
  readonly entryCount?: bigint;
  /** Key, type id, value bytes. */
  readonly entries?: readonly (readonly [string, number, Buffer])[];
  /** Bytes after the header. */
  readonly dataBytes?: number;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const uint64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(BigInt(bytes.byteLength)), bytes]);
};

function rawGguf(raw: RawGguf): Uint8Array<ArrayBuffer> {
  const { tensors = [], entries = [], dataBytes = 256 } = raw;
  const parts = [
    Buffer.from('GGUF'),
    uint32(3),
    uint64(raw.tensorCount ?? BigInt(tensors.length)),
    uint64(raw.entryCount ?? BigInt(entries.length)),
    ...entries.flatMap(([key, type, value]) => [text(key), uint32(type), value]),
    ...tensors.flatMap(({ name, dims, type, offset }) => [
      text(name),
      uint32(dims.length),
      ...dims.map(uint64),
      uint32(type),
      uint64(offset),
    ]),
  ];
  const header = Buffer.concat(parts);
  const padding = (32 - (header.byteLength % 32)) % 32;
  return new Uint8Array(Buffer.concat([header, Buffer.alloc(padding + dataBytes)]));
}

const f32 = 0;
const tensor = (dims: readonly Dim[], more: Partial<RawTensor> = {}): RawTensor => ({
  name: 'token_embd.weight',
  dims,
  type: f32,
  offset: 0n,
  ...more,
});
const max = 2n ** 64n;

interface HostileHeader {
  readonly what: string;
  /** Where it was published. */
  readonly source: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly expected: RegExp;
}

export const hostileHeaders: readonly HostileHeader[] = [
  {
    what: 'dimensions whose product wraps around 2^64',
    source: 'CVE-2025-53630',
    bytes: rawGguf({ tensors: [tensor([2n ** 33n, 2n ** 33n])] }),
    expected: /ends at byte \d+, but the file ends/,
  },
  {
    what: 'tensors whose sizes add up past 2^64',
    source: 'CVE-2026-27940, a way around the fix of CVE-2025-53630',
    bytes: rawGguf({
      tensors: Array.from({ length: 5 }, (_, i) =>
        tensor([2n ** 60n], { name: `t${i}`, offset: (2n ** 62n * BigInt(i)) % max }),
      ),
    }),
    expected: /has a dimension of/,
  },
  {
    what: 'a size that wraps around when it is padded to the alignment',
    source: 'llama.cpp pull request 24759',
    bytes: rawGguf({ tensors: [tensor([2n ** 62n - 1n])] }),
    expected: /has a dimension of/,
  },
  {
    what: 'an offset that wraps around when the size is added',
    source: 'llama.cpp pull request 26318',
    bytes: rawGguf({ tensors: [tensor([64n], { offset: max - 128n })] }),
    expected: /offset|end|outside|beyond|file/i,
  },
  {
    what: 'a tensor larger than the file',
    source: 'CVE-2026-7482 (Ollama)',
    bytes: rawGguf({ tensors: [tensor([2n ** 20n])], dataBytes: 64 }),
    expected: /end|outside|beyond|file|cut/i,
  },
  {
    what: 'more tensors than bytes',
    source: 'CVE-2024-21836',
    bytes: rawGguf({ tensorCount: max - 1n }),
    expected: /tensors/i,
  },
  {
    what: 'more metadata entries than bytes',
    source: 'CVE-2024-23605',
    bytes: rawGguf({ entryCount: 2n ** 62n }),
    expected: /entries|metadata|key/i,
  },
  {
    what: 'a string longer than memory',
    source: 'CVE-2024-23496',
    bytes: rawGguf({ entries: [['general.name', 8, uint64(max - 1n)]] }),
    expected: /length of "general.name" .* the limit is/,
  },
  {
    what: 'an array longer than memory',
    source: 'CVE-2024-21825',
    bytes: rawGguf({ entries: [['a', 9, Buffer.concat([uint32(4), uint64(2n ** 61n)])]] }),
    expected: /array|items|end/i,
  },
  {
    what: 'more dimensions than a tensor can have',
    source: 'CVE-2024-21802',
    bytes: rawGguf({ tensors: [tensor(Array.from({ length: 64 }, () => 2n))] }),
    expected: /dimension|dims|shape/i,
  },
  {
    what: 'a row that is no whole number of blocks',
    source: 'llama.cpp, ggml_row_size',
    bytes: rawGguf({ tensors: [tensor([33n, 1n], { type: 8 })] }),
    expected: /block|row|multiple|shape/i,
  },
  {
    what: 'a type that does not exist',
    source: 'llama.cpp, ggml_type_name',
    bytes: rawGguf({ tensors: [tensor([32n], { type: 0xffff_fff0 })] }),
    expected: /type/i,
  },
];
