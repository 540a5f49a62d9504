import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { multipliesBytesExactly } from './exact-bytes.ts';

const flags = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';

test.skipIf(!/\b(avx512_vnni|avx_vnni)\b/.test(flags))(
  'bytes are multiplied exactly where the processor has instructions for it',
  async () => {
    expect(await multipliesBytesExactly()).toBe(true);
  },
);
