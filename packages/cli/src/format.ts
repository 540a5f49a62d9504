// Figures for people: bytes, seconds, rates, tables. Pure; units are always written out.
import Table from 'cli-table3';

const byteUnits = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** 94_371_840 → "94.4 MB" (decimal units, as disks and downloads count). */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${byteUnits[unit]}`;
}

/** 0.42 → "0.4 s", 75 → "1 min 15 s", 3700 → "1 h 2 min". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

/** 1234567 → "1 234 567": thousands apart by a narrow no-break space. */
export const formatCount = (count: number): string =>
  String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');

/** A loss or a log-probability with the digits that mean something. */
export const formatLoss = (loss: number | null | undefined): string =>
  loss === null || loss === undefined || !Number.isFinite(loss) ? '–' : loss.toFixed(3);

/** Unix seconds → "2026-11-22 06:15". */
export const formatTime = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ');

/** Cuts to `width` characters, marking the cut. */
export const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;

/** A table without lines: a bold head and columns two spaces apart. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
  bold: (text: string) => string = (text) => text,
): string {
  const blank = Object.fromEntries(
    [
      'top',
      'top-mid',
      'top-left',
      'top-right',
      'bottom',
      'bottom-mid',
      'bottom-left',
      'bottom-right',
      'left',
      'left-mid',
      'mid',
      'mid-mid',
      'right',
      'right-mid',
      'middle',
    ].map((name) => [name, '']),
  );
  const table = new Table({
    chars: { ...blank, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(head.map(bold));
  for (const row of rows) table.push(row.map((cell) => (cell === null ? '–' : String(cell))));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Pairs under one another, names dim and of equal width. */
export function formatFields(
  fields: readonly (readonly [name: string, value: string])[],
  dim: (text: string) => string = (text) => text,
): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${dim(name.padEnd(width))}  ${value}`).join('\n');
}
