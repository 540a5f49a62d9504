// Integers between two bounds, written in decimal, as a grammar. Splits the range into blocks whose last
// digits are free: 123 to 4567 is 12[3-9], 1[3-9]x, [2-9]xx, [1-3]xxx, 4[0-4]xx, 45[0-5]x, 456[0-7].
import {
  characters,
  choice,
  literal,
  range,
  repeat,
  sequence,
  type Expression,
} from './expression.ts';

const anyDigit = characters(range('0', '9'));

/** Numbers of equally many digits from `low` to `high`; both without leading zeros, or both digit tails. */
function sameLength(low: string, high: string): Expression[] {
  if (low === high) return [literal(low)];
  const [first = '', last = ''] = [low[0], high[0]];
  const rest = low.length - 1;
  if (rest === 0) return [characters(range(first, last))];
  if (first === last)
    return [sequence(literal(first), choice(...sameLength(low.slice(1), high.slice(1))))];
  const blocks: Expression[] = [];
  let [from, to] = [Number(first), Number(last)];
  if (/[^0]/.test(low.slice(1))) {
    blocks.push(sequence(literal(first), choice(...sameLength(low.slice(1), '9'.repeat(rest)))));
    from++;
  }
  if (/[^9]/.test(high.slice(1))) {
    blocks.push(sequence(literal(last), choice(...sameLength('0'.repeat(rest), high.slice(1)))));
    to--;
  }
  if (from <= to)
    blocks.push(
      sequence(characters(range(String(from), String(to))), repeat(anyDigit, rest, rest)),
    );
  return blocks;
}

/** 0 ≤ low ≤ high, both safe integers. */
function naturals(low: number, high: number): Expression[] {
  const blocks: Expression[] = [];
  const highDigits = String(high).length;
  for (let digits = String(low).length; digits <= highDigits; digits++) {
    const from = Math.max(low, digits === 1 ? 0 : 10 ** (digits - 1));
    const to = Math.min(high, 10 ** digits - 1);
    if (from <= to) blocks.push(...sameLength(String(from), String(to)));
  }
  return blocks;
}

/** Integers from `low` to `high`, both included and safe; null when there are none. */
export function integersBetween(low: number, high: number): Expression | null {
  if (low > high) return null;
  const blocks: Expression[] = [];
  if (high >= 0) blocks.push(...naturals(Math.max(0, low), high));
  if (low < 0) blocks.push(sequence(literal('-'), choice(...naturals(Math.max(1, -high), -low))));
  return choice(...blocks);
}
