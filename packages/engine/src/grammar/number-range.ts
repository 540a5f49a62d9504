// Decimal numbers between whole bounds, as a grammar: a whole part within them and, where it does not lead
// out, a fraction. Bounds that are no integers are not known here.
import {
  characters,
  choice,
  literal,
  optional,
  range,
  repeat,
  sequence,
  type Expression,
} from './expression.ts';
import { integersBetween } from './integer-range.ts';
import { fraction } from './json-text.ts';

/** 15 digits are exact in a double; a bound that is not given stands here. */
export const largestInteger = 999_999_999_999_999;

export interface NumberBounds {
  readonly minimum: number;
  readonly maximum: number;
  /** The bound itself is left out. */
  readonly exclusiveMinimum: boolean;
  readonly exclusiveMaximum: boolean;
}

const digits = (first: string, min: number, max: number): Expression =>
  repeat(characters(range(first, '9')), min, max);
const zeros = optional(sequence(literal('.'), repeat(literal('0'), 1, 15)));
/** A fraction that is not zero; short enough that a double still tells it from zero's neighbour. */
const someFraction = sequence(
  literal('.'),
  repeat(literal('0'), 0, 5),
  digits('1', 1, 1),
  digits('0', 0, 4),
);

interface Magnitudes {
  readonly low: number;
  readonly high: number;
  readonly lowIncluded: boolean;
  readonly highIncluded: boolean;
}

/** Numbers from `low` to `high`, 0 ≤ low ≤ high, without sign. */
function magnitudes({ low, high, lowIncluded, highIncluded }: Magnitudes): Expression[] {
  const options: Expression[] = [];
  const add = (whole: Expression | null, rest: Expression): void => {
    if (whole) options.push(sequence(whole, rest));
  };
  if (low === high) {
    if (lowIncluded && highIncluded) add(integersBetween(low, low), zeros);
    return options;
  }
  add(integersBetween(low, low), lowIncluded ? optional(fraction) : someFraction);
  add(integersBetween(low + 1, high - 1), optional(fraction));
  if (highIncluded) add(integersBetween(high, high), zeros);
  return options;
}

/** Numbers within the bounds (safe integers); null when there are none. */
export function numbersBetween(bounds: NumberBounds): Expression | null {
  const { minimum, maximum } = bounds;
  if (minimum > maximum) return null;
  const [minIncluded, maxIncluded] = [!bounds.exclusiveMinimum, !bounds.exclusiveMaximum];
  const options: Expression[] = [];
  if (maximum >= 0) {
    const crosses = minimum < 0;
    options.push(
      ...magnitudes({
        low: crosses ? 0 : minimum,
        high: maximum,
        lowIncluded: crosses || minIncluded,
        highIncluded: maxIncluded,
      }),
    );
  }
  if (minimum < 0) {
    const crosses = maximum >= 0;
    const negative = magnitudes({
      low: crosses ? 0 : -maximum,
      high: -minimum,
      // "-0" is zero: left to the other side, which knows whether zero is allowed.
      lowIncluded: !crosses && maxIncluded,
      highIncluded: minIncluded,
    });
    if (negative.length > 0) options.push(sequence(literal('-'), choice(...negative)));
  }
  return options.length === 0 ? null : choice(...options);
}
