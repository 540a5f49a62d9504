// A curve in one line of characters.
const levels = '▁▂▃▄▅▆▇█';

/** Means of `width` equal parts of the values, as bars between the smallest and the largest. */
export function sparkline(values: readonly number[], width: number): string {
  const count = Math.min(width, values.length);
  const parts = Array.from({ length: count }, (_, part) => {
    const from = Math.floor((part * values.length) / count);
    const to = Math.floor(((part + 1) * values.length) / count);
    const slice = values.slice(from, to);
    return slice.reduce((sum, value) => sum + value, 0) / slice.length;
  });
  const low = Math.min(...parts);
  const high = Math.max(...parts);
  const scale = high > low ? (levels.length - 1) / (high - low) : 0;
  return parts.map((value) => levels.charAt(Math.round((value - low) * scale))).join('');
}
