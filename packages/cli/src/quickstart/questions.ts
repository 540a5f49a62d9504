// Held-out questions and their scoring: an answer counts when any accepted phrase stands in it,
// whatever the case. Pure but for reading the file.
import { readFile } from 'node:fs/promises';
import { CommandError } from '../failures.ts';

export interface Question {
  readonly question: string;
  /** Any of these in the answer counts. */
  readonly accept: readonly string[];
}

const normal = (text: string): string => text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ');

/** True when the answer holds an accepted phrase as whole words: "14 tallows" is not "4 tallow". */
export function isAccepted(answer: string, { accept }: Pick<Question, 'accept'>): boolean {
  const text = normal(answer);
  return accept.some((phrase) => {
    const wanted = normal(phrase);
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
      // Only the start must be a word's start: "tallow" may go on to "tallows".
      if (at === 0 || !/[\p{L}\p{N}]/u.test(text.charAt(at - 1))) return true;
    }
    return false;
  });
}

/** @throws CommandError for a line that is no question. */
export function parseQuestions(text: string, path: string): Question[] {
  return text
    .split('\n')
    .map((line, index) => ({ line, row: index + 1 }))
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, row }) => {
      try {
        const { question, accept } = JSON.parse(line) as Partial<Question>;
        const phrases = Array.isArray(accept) && accept.length > 0;
        if (typeof question === 'string' && phrases) return { question, accept };
      } catch {
        // Said below, with the row.
      }
      throw new CommandError(
        `Row ${row} of "${path}" is no question.`,
        'Each row is {"question": "…", "accept": ["…"]}.',
      );
    });
}

export const readQuestions = async (path: string): Promise<Question[]> =>
  parseQuestions(await readFile(path, 'utf8'), path);

/** Runs `work` on every item, at most `limit` at a time. @returns the results in order. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next;
      next += 1;
      const item = items[index];
      if (item !== undefined) results[index] = await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
