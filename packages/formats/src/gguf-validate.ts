// Checks what llama.cpp does not survive. Stub of the public shape.
import type { GgufFile } from './gguf-reader.ts';

/** Throws FormatError for a model header that llama.cpp would abort on (or read beyond its tensors). */
export function validateModelHeader(_file: GgufFile): void {
  throw new Error('not written yet');
}
