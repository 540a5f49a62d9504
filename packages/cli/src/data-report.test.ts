import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { formatPreview, formatRowErrors } from './data-report.ts';

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

describe('formatRowErrors', () => {
  it('says how many more there are', () => {
    const report = {
      path: 'p',
      format: 'chat',
      rows: 100,
      examples: 0,
      tokens: { total: 0, mean: 0, max: 0, p95: 0 },
      loss_tokens: 0,
      sha256: '',
      errors: [{ row: 7, reason: 'empty', fix: 'fill it' }],
      error_count: 3,
      preview: [],
    };
    expect(formatRowErrors(report, pc.createColors(false))).toBe(
      '  row 7  empty\n         fix: fill it\n  … and 2 more rows with problems',
    );
  });
});
