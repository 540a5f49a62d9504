// For tests without native code: a session of ONNX Runtime makes its thread treat denormal numbers as zero for as
// long as the process lives, and these tests share one. What `auto` would try on the processor is answered here.
import { vi } from 'vitest';

vi.mock('../packages/trainer/src/models/exact-bytes.ts', () => ({
  multipliesBytesExactly: () => Promise.resolve(true),
}));
