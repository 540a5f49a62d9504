import { describe, expect, it } from 'vitest';
import { parseAnsi, terminalSvg } from './terminal-svg-ansi.ts';
import { curveSvg, smooth, ticks } from './terminal-svg-curve.ts';
import { shownLines } from './terminal-svg.ts';

describe('parseAnsi', () => {
  it('makes runs of one style each', () => {
    expect(parseAnsi('a \u001b[1m\u001b[32mb\u001b[39mc\u001b[22m\nd')).toEqual([
      [
        { text: 'a ', bold: false, dim: false, color: null },
        { text: 'b', bold: true, dim: false, color: 'green' },
        { text: 'c', bold: true, dim: false, color: null },
      ],
      [{ text: 'd', bold: false, dim: false, color: null }],
    ]);
  });

  it('shows what a redrawn line shows at its end', () => {
    const [line = []] = parseAnsi('\r\u001b[2K 10 %\r\u001b[2K 20 %');
    expect(line.map(({ text }) => text).join('')).toBe(' 20 %');
  });
});

describe('terminalSvg', () => {
  it('escapes text, and puts each run in its column', () => {
    const svg = terminalSvg(parseAnsi('  <b>&  \u001b[31mred\u001b[39m'), 'a "title"');
    expect(svg).toContain('>&lt;b&gt;&amp;</text>');
    expect(svg).toContain('<text x="36.8" y="58" textLength="33.6">');
    expect(svg).toContain('textLength="25.2" class="red">red</text>');
    expect(svg).toContain('aria-label="a &quot;title&quot;"');
  });

  it('grows with its lines', () => {
    const height = (text: string) => /height="(\d+)"/.exec(terminalSvg(parseAnsi(text), ''))?.[1];
    expect(Number(height('a\nb\nc')) - Number(height('a'))).toBe(38);
  });
});

describe('shownLines', () => {
  it('leaves the next steps out and keeps the closing line', () => {
    const lines = parseAnsi('\n1  Start\n\n8  Next\n\ncurl\nDone in 3 s; all is shut down.\n');
    expect(shownLines(lines).map((line) => line.map(({ text }) => text).join(''))).toEqual([
      '1  Start',
      '',
      'Done in 3 s; all is shut down.',
    ]);
  });
});

describe('the curve', () => {
  it('smooths without a lag at the start', () => {
    expect(smooth([4, 4, 4])).toEqual([4, 4, 4]);
    const [first = 0, second = 0] = smooth([4, 0]);
    expect(first).toBe(4);
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThan(4);
  });

  it.each([
    [3.2, [0, 1, 2, 3]],
    [150, [0, 50, 100, 150]],
    [0.9, [0, 0.2, 0.4, 0.6, 0.8]],
  ])('marks a scale up to %d roundly', (max, marks) => expect(ticks(max)).toEqual(marks));

  it('says both validation losses', () => {
    const losses = [
      { step: 1, loss: 3 },
      { step: 2, loss: 1 },
    ];
    const svg = curveSvg({ losses, lossBefore: 3.2, lossAfter: 0.5, title: 'Tuning' });
    expect(svg).toContain('validation before 3.200');
    expect(svg).toContain('validation after 0.500');
    expect(svg.match(/<path d="M[\d. ]+L/g)).toHaveLength(2);
  });
});
