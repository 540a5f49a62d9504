// A data report in words: what the file holds, what is wrong with it, what the model will see.
import type { DataReport, PreviewSegment } from '@corral/contracts';
import { formatCount, formatFields } from './format.ts';
import type { Io } from './io.ts';

type Colors = Io['colors'];

/** One rendered example: what the model learns to write stands out, the rest is dim. */
export function formatPreview(segments: readonly PreviewSegment[], colors: Colors): string {
  // The template's last line break would be a line of its own here.
  const last = segments.findLastIndex(({ text }) => text.trim() !== '');
  return segments
    .slice(0, last + 1)
    .map(({ text, loss }, index) => ({ text: index === last ? text.trimEnd() : text, loss }))
    .map(({ text, loss }) => {
      const paint = loss ? colors.green : colors.dim;
      // Without colour the learnt part is put between marks, so that the mask is still seen.
      const marked = loss && !colors.isColorSupported ? `⟦${text}⟧` : text;
      return marked.split('\n').map(paint).join('\n');
    })
    .join('');
}

/** Row number, reason and fix of each problem, and how many more there are. */
export function formatRowErrors(report: DataReport, colors: Colors): string {
  const width = Math.max(...report.errors.map(({ row }) => String(row).length));
  const lines = report.errors.flatMap(({ row, reason, fix }) => [
    `  ${colors.bold(`row ${String(row).padStart(width)}`)}  ${reason}`,
    `  ${' '.repeat(width + 4)}  ${colors.dim('fix:')} ${fix}`,
  ]);
  const more = report.error_count - report.errors.length;
  if (more > 0) lines.push(`  … and ${formatCount(more)} more rows with problems`);
  return lines.join('\n');
}

/** What the rows are and what file they came in, as it was found. */
export const formatKind = ({ format, container }: DataReport): string => {
  const named = container === undefined ? format : `${format} (${container})`;
  return format === 'preference' ? `${named}; trains with method dpo` : named;
};

/** How many conversations are longer than the context, and what becomes of them; '' when none is. */
export function formatTooLong({ too_long: found }: DataReport): string {
  if (!found) return '';
  const fate = {
    error: 'raise data.context_length, or set data.truncate to drop or cut',
    drop: 'they are left out',
    cut: `their ends are cut, and ${found.dropped} left out`,
  }[found.policy];
  return `\n  ${formatCount(found.rows)} ${found.rows === 1 ? 'row is' : 'rows are'} longer than the context, the longest ${formatCount(found.longest)} tokens: ${fate}`;
}

/** Rows, format, tokens. */
export function formatStats(report: DataReport, colors: Colors): string {
  const { tokens } = report;
  return formatFields(
    [
      ['file', report.path],
      ['format', formatKind(report)],
      ['rows', `${formatCount(report.rows)} (${formatCount(report.examples)} examples)`],
      [
        'tokens',
        `${formatCount(tokens.total)} in all; ${tokens.mean.toFixed(1)} an example, 95 % below ${tokens.p95}, longest ${tokens.max}`,
      ],
      ['learnt from', `${formatCount(report.loss_tokens)} tokens carry loss`],
      ['sha256', report.sha256],
    ],
    colors.dim,
  );
}
