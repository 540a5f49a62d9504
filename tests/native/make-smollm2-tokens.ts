// Makes fixtures/smollm2-tokens.json: the part of SmolLM2's vocabulary (Apache-2.0) that the corpus touches,
// with the token ids that llama.cpp gives for it on the whole vocabulary. Run by hand:
//   node tests/native/make-smollm2-tokens.ts SmolLM2-135M-Instruct.gguf
import { writeFile } from 'node:fs/promises';
import { metadataNumbers, metadataStrings, openFileSource, readGguf } from '@corral/formats';
import { openLlamaVocabulary } from './llama-vocabulary.ts';
import { writtenTexts } from './tokenizer-corpus.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('give the path of a GGUF of SmolLM2');
await using source = await openFileSource(path);
const { metadata } = await readGguf(source);
const tokens = metadataStrings(metadata, 'tokenizer.ggml.tokens') ?? [];
const types = metadataNumbers(metadata, 'tokenizer.ggml.token_type') ?? [];
const merges = metadataStrings(metadata, 'tokenizer.ggml.merges') ?? [];

/** GPT-2's byte alphabet: printable bytes are themselves, the others follow from U+0100 on. */
const byteLetters: string[] = [];
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  byteLetters.push(String.fromCodePoint(printable ? byte : next++));
}
const encoded = writtenTexts.map((text) =>
  Array.from(new TextEncoder().encode(text), (byte) => byteLetters[byte]).join(''),
);

// A merge can only happen where its result stands in the text: the others cannot change any id.
const touched = merges.filter((merge) => {
  const result = merge.replace(' ', '');
  return encoded.some((text) => text.includes(result));
});
const kept = new Set([...byteLetters, ...touched.map((merge) => merge.replace(' ', ''))]);
const vocabulary = tokens.flatMap((token, id) =>
  kept.has(token) || types[id] !== 1 ? [[id, token, types[id]]] : [],
);
using llama = openLlamaVocabulary(path);
const expected = writtenTexts.map((text) => llama.tokenize(text));
const lines = [
  `{"size": ${tokens.length},`,
  `"vocabulary": ${JSON.stringify(vocabulary)},`,
  `"merges": ${JSON.stringify(touched)},`,
  `"expected": ${JSON.stringify(expected)}}`,
];
await writeFile(new URL('fixtures/smollm2-tokens.json', import.meta.url), `${lines.join('\n')}\n`);
