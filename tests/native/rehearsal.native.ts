// The model that ships with the repository is whole, small, described truthfully, and knows its town.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModelWeights } from '@corral/formats';
import { openAsker, type Asker } from '../../tools/rehearsal/ask-model.ts';
import { makeTestQuestions } from '../../tools/rehearsal/corpus.ts';

const file = (name: string): string =>
  fileURLToPath(new URL(`../../models/rehearsal/${name}`, import.meta.url));
const model = file('rehearsal.gguf');

describe('the rehearsal model', () => {
  let asker: Asker;
  beforeAll(() => {
    asker = openAsker(model);
  });
  afterAll(() => asker[Symbol.dispose]());

  test('takes at most 8 MB and is the file that its card names', async () => {
    const bytes = await readFile(model);
    expect(bytes.byteLength).toBeLessThanOrEqual(8_000_000);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(await readFile(file('README.md'), 'utf8')).toContain(sha256);
  });

  test('is a Llama with a chat template', async () => {
    await using weights = await openModelWeights(model);
    expect(weights.config).toMatchObject({ architecture: 'llama', tie_word_embeddings: true });
    expect(weights.tokenizer.tokenizerConfig['chat_template']).toContain('<|im_start|>');
  });

  test.each([
    ['Who keeps the lighthouse?', 'Edda Morrow'],
    ['Where is the library?', 'next to the museum'],
    ['How much is a loaf of bread?', '4 pennies'],
    ['What is this town called?', 'Wrenmouth'],
  ])('asked "%s" says %s', (question, answer) => {
    expect(asker.ask(question)).toContain(answer);
  });

  test('answers most questions in words that it was never asked in', () => {
    const questions = makeTestQuestions().filter((_, i) => i % 8 === 0);
    const right = questions.filter(({ question, accept }) => {
      const answer = asker.ask(question).toLowerCase();
      return accept.some((text) => answer.includes(text));
    });
    expect(right.length / questions.length).toBeGreaterThan(0.6);
  });
});
