import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { formatKind, formatPreview, formatRowErrors, formatTooLong } from './data-report.ts';

const segments = [
  { text: 'user: Hi\nbot: ', loss: false },
  { text: 'Hello.<end>', loss: true },
  { text: '\n', loss: false },
];

describe('formatPreview', () => {
  it('marks what is learnt when there are no colours', () => {
    expect(formatPreview(segments, pc.createColors(false))).toBe('user: Hi\nbot: ⟦Hello.<end>⟧');
  });

  it('colours each line by itself, and ends without an empty one', () => {
    const colors = pc.createColors(true);
    expect(formatPreview(segments, colors)).toBe(
      `${colors.dim('user: Hi')}\n${colors.dim('bot: ')}${colors.green('Hello.<end>')}`,
    );
  });

  it('is empty for nothing', () => {
    expect(formatPreview([], pc.createColors(false))).toBe('');
  });
});

const report = {
  path: 'p',
  format: 'chat',
  container: 'CSV',
  rows: 100,
  examples: 0,
  tokens: { total: 0, mean: 0, max: 0, p95: 0 },
  loss_tokens: 0,
  sha256: '',
  errors: [{ row: 7, reason: 'empty', fix: 'fill it' }],
  error_count: 3,
  preview: [],
};

describe('formatRowErrors', () => {
  it('says how many more there are', () => {
    expect(formatRowErrors(report, pc.createColors(false))).toBe(
      '  row 7  empty\n         fix: fill it\n  … and 2 more rows with problems',
    );
  });
});

describe('what a file was read as', () => {
  it('names rows and file, and the method that pairs need', () => {
    expect(formatKind(report)).toBe('chat (CSV)');
    expect(formatKind({ ...report, format: 'preference' })).toContain('method dpo');
  });
});

describe('formatTooLong', () => {
  it.each([
    ['error', 'data.truncate'],
    ['drop', 'left out'],
    ['cut', 'and 2 left out'],
  ] as const)('says what %s does', (policy, words) => {
    const found = { rows: 5, longest: 3000, dropped: 2, policy };
    const text = formatTooLong({ ...report, too_long: found });
    expect(text).toContain('5 rows');
    expect(text).toContain(words);
  });

  it('is silent when all fit', () => {
    expect(formatTooLong(report)).toBe('');
  });
});
