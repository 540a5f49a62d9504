// Every published hole of GGUF parsers as a file: refused by name before a byte is allocated for it.
import { expect, test } from 'vitest';
import { memorySource } from './byte-source.ts';
import { FormatError } from './format-error.ts';
import { readGguf } from './gguf-reader.ts';
import { hostileHeaders } from './hostile-headers.fake.ts';

test.each(hostileHeaders)('$what ($source) is refused', async ({ bytes, expected }) => {
  const reading = readGguf(memorySource(bytes));
  const error: unknown = await reading.catch((refusal: unknown) => refusal);
  expect(FormatError.isInstance(error)).toBe(true);
  expect((error as FormatError).message).toMatch(expected);
});
