import type { DataReport } from '@corral/contracts';
import { expect, it } from 'vitest';
import { dataProblem } from './data-problem.ts';

const good: DataReport = {
  path: 'rows.jsonl',
  format: 'chat',
  rows: 3,
  examples: 3,
  tokens: { total: 30, mean: 10, max: 12, p95: 12 },
  loss_tokens: 9,
  sha256: '0'.repeat(64),
  errors: [],
  error_count: 0,
  preview: [],
};
const pairs = { ...good, format: 'preference' };

it('finds nothing wrong with what fits the method', () => {
  expect(dataProblem(good, 'lora', 'training_file')).toBeNull();
  expect(dataProblem(pairs, 'dpo', 'training_file')).toBeNull();
});

it('refuses preference pairs for a method that learns from conversations, and says the way out', () => {
  const problem = dataProblem(pairs, 'qlora', 'validation_file');
  expect(problem?.error).toMatchObject({ code: 'data_invalid', param: 'validation_file' });
  expect(problem?.error.message).toContain('Use method dpo');
});

it('refuses a file without examples', () => {
  const problem = dataProblem({ ...good, rows: 0, examples: 0 }, 'lora', 'training_file');
  expect(problem?.error.code).toBe('data_empty');
});

it('names the first twenty rows and counts the rest', () => {
  const errors = Array.from({ length: 21 }, (_, row) => ({
    row,
    reason: 'it is bad',
    fix: 'Mend',
  }));
  const report = { ...good, errors, error_count: 90 };
  const problem = dataProblem(report, 'lora', 'training_file');
  expect(problem?.rows).toHaveLength(20);
  expect(problem?.error.message).toContain('row 19: it is bad. Mend');
  expect(problem?.error.message).toContain('and 70 more rows');
});
