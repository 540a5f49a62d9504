// Scoring, and the promise that the held-out questions stand in no training row.
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { exampleSets } from './quickstart-settings.ts';
import {
  isAccepted,
  mapConcurrently,
  parseQuestions,
  readQuestions,
  type Question,
} from './questions.ts';

describe('isAccepted', () => {
  it.each([
    ['It costs 3 Tallows.', ['3 tallow'], true],
    ['It costs 13 tallows.', ['3 tallow'], false],
    ['At 5:52, I think', ['5:52'], true],
    ['At 15:52', ['5:52'], false],
    ['smoked\n eel   pie', ['smoked eel pie'], true],
    ['nothing', ['a', 'b'], false],
    ['Pepperwick', ['crumb', 'pepperwick'], true],
    ['', ['x'], false],
  ])('%j with %j is %s', (answer, accept, expected) => {
    expect(isAccepted(answer, { accept })).toBe(expected);
  });
});

describe('parseQuestions', () => {
  it('names the row that is no question', () => {
    const text = '{"question":"a","accept":["b"]}\n\n{"question":"a","accept":[]}\n';
    expect(() => parseQuestions(text, 'q.jsonl')).toThrow('Row 3 of "q.jsonl" is no question.');
  });
});

describe('mapConcurrently', () => {
  it('keeps the order and the limit', async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 3, 2, 4], 2, async (delay) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, delay));
      running -= 1;
      return delay * 10;
    });
    expect(results).toEqual([50, 10, 30, 20, 40]);
    expect(most).toBe(2);
  });
});

interface Row {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}
const turn = (row: Row, role: string) =>
  row.messages.find((message) => message.role === role)?.content ?? '';

const wordsOf = (text: string): Set<string> =>
  new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
/** Shared words over all words: 1 for the same words in any order. */
const likeness = (a: string, b: string): number => {
  const [left, right] = [wordsOf(a), wordsOf(b)];
  const shared = [...left].filter((word) => right.has(word)).length;
  return shared / (left.size + right.size - shared);
};

describe.each(exampleSets)('the examples of $alias', ({ train, questions: path }) => {
  let rows: readonly Row[];
  let questions: readonly Question[];
  beforeAll(async () => {
    const text = await readFile(train, 'utf8');
    rows = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    questions = await readQuestions(path);
  });

  it('has about 150 chat rows, none twice, and 30 questions', () => {
    expect(rows.length).toBeGreaterThanOrEqual(140);
    expect(rows.length).toBeLessThanOrEqual(180);
    expect(new Set(rows.map((row) => turn(row, 'user'))).size).toBe(rows.length);
    expect(questions).toHaveLength(30);
    for (const row of rows) {
      expect(row.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
    }
  });

  it('asks no question in nearly the words of a training row', () => {
    const close = questions.filter(({ question }) =>
      rows.some((row) => likeness(question, turn(row, 'user')) >= 0.6),
    );
    expect(close).toEqual([]);
  });

  it('teaches the answer to every question, in at least four rows', () => {
    const untaught = questions.filter(
      (question) => rows.filter((row) => isAccepted(turn(row, 'assistant'), question)).length < 4,
    );
    expect(untaught).toEqual([]);
  });

  it('gives no answer away in its question, nor takes one answer for another', () => {
    const givenAway = questions.filter((question) => isAccepted(question.question, question));
    expect(givenAway).toEqual([]);
    const mixed = questions.flatMap((question) =>
      questions.filter(
        (other) =>
          other !== question && other.accept.some((phrase) => isAccepted(phrase, question)),
      ),
    );
    expect(mixed).toEqual([]);
  });
});
