import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepingIo } from './fakes/harness.fake.ts';
import { createProgress, drawBar } from './progress.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('progress without a terminal', () => {
  it('writes whole lines, at intervals', () => {
    const { io, kept } = keepingIo();
    using progress = createProgress(io, 5_000);
    progress.update('one', 0.1);
    progress.update('two', 0.2);
    vi.advanceTimersByTime(5_001);
    progress.update('three', 0.5);
    expect(kept.err).toBe('   10 %  one\n   50 %  three\n');
    expect(kept.out).toBe('');
  });
});

describe('progress on a terminal', () => {
  it('redraws one line within the width and leaves nothing behind', () => {
    const { io, kept } = keepingIo();
    const live = { ...io, live: true, columns: () => 40 };
    const progress = createProgress(live);
    progress.update('x'.repeat(100), 0.5);
    const [, line = ''] = kept.err.split('\u001b[2K');
    expect(line.length).toBeLessThan(40);
    expect(line.startsWith('  ━━━━━━━━━━━━────────────  xxx')).toBe(true);
    progress.close();
    progress.close();
    expect(kept.err.endsWith('\r\u001b[2K')).toBe(true);
    const length = kept.err.length;
    progress.update('late');
    vi.runAllTimers();
    expect(kept.err).toHaveLength(length);
  });

  it('draws the newest of many quick updates', () => {
    const { io, kept } = keepingIo();
    using progress = createProgress({ ...io, live: true });
    for (const text of ['a', 'b', 'c']) progress.update(text);
    vi.advanceTimersByTime(100);
    expect(kept.err).toContain('a');
    expect(kept.err).not.toContain('b');
    expect(kept.err).toContain('c');
  });
});

describe('drawBar', () => {
  it.each([
    [-1, 0],
    [0, 0],
    [0.5, 5],
    [2, 10],
  ])('fills %d of a bar to %d', (fraction, full) => {
    expect(drawBar(fraction, 10)).toEqual(['━'.repeat(full), '─'.repeat(10 - full)]);
  });
});
