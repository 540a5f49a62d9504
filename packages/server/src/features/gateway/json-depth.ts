// How deep a JSON value goes, found without recursion: what walks a value by recursion must know before.
/** Deeper than any schema or argument that a person wrote; far from what a stack holds. */
export const maxJsonDepth = 64;

/** Whether arrays and objects lie in each other more than `maxJsonDepth` times. */
export function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxJsonDepth) return true;
    level = level.flatMap((one): unknown[] =>
      Array.isArray(one) ? one : typeof one === 'object' && one !== null ? Object.values(one) : [],
    );
  }
  return false;
}
