import { describe, expect, it } from 'vitest';
import { ropeTables } from './rope-tables.ts';
import { tinyConfig } from './tiny-model.fake.ts';

const angleOf = (tables: { cos: Float32Array; sin: Float32Array }, at: number) =>
  Math.atan2(tables.sin[at] ?? 0, tables.cos[at] ?? 0);
const half = tinyConfig.head_dim / 2;

describe('ropeTables', () => {
  it('turns pair i at position p by p · theta^(-2i/D)', () => {
    const tables = ropeTables(tinyConfig, 4);
    expect(angleOf(tables, 3 * half)).toBeCloseTo(3, 6);
    expect(angleOf(tables, 3 * half + 2)).toBeCloseTo(3 * 10_000 ** (-4 / 16), 6);
    expect(tables.cos).toHaveLength(4 * half);
  });

  it('divides positions under linear scaling, and frequencies by the factors of a file', () => {
    const linear = ropeTables({ ...tinyConfig, rope_scaling: { type: 'linear', factor: 4 } }, 4);
    expect(angleOf(linear, 2 * half)).toBeCloseTo(0.5, 6);
    const factors = Array.from({ length: half }, (_, i) => i + 1);
    const stored = ropeTables({ ...tinyConfig, rope_scaling: { type: 'factors', factors } }, 4);
    expect(angleOf(stored, half + 1)).toBeCloseTo(10_000 ** (-2 / 16) / 2, 6);
  });
});
