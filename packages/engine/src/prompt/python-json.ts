// JSON as Python's json.dumps writes it, which is how models were shown it: a space behind commas and
// colons, or indented.

export interface JsonLayout {
  /** Spaces a level; 0 = on one line. */
  readonly indent: number;
}

/** Throws on nothing: what JSON cannot say becomes null, as in JSON.stringify. */
export function dumpJson(value: unknown, { indent }: JsonLayout, depth = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const inner = (item: unknown): string => dumpJson(item, { indent }, depth + 1);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const items = Array.isArray(value)
    ? value.map(inner)
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${inner(item)}`);
  if (items.length === 0) return open + close;
  if (indent === 0) return open + items.join(', ') + close;
  const line = (level: number): string => `\n${' '.repeat(indent * level)}`;
  return open + line(depth + 1) + items.join(`,${line(depth + 1)}`) + line(depth) + close;
}
