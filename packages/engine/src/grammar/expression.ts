// What a text may look like, as a tree: literals, sets of characters, sequences, choices, repetitions and
// rules that may call each other. Built by the schema compiler, read by compile-grammar.ts. Knows neither
// JSON nor tokens.

/** Code points from `first` to `last`, both included. Surrogates are no characters and never match. */
export type CodeRange = readonly [first: number, last: number];

export type Expression =
  | { readonly kind: 'literal'; readonly text: string }
  /** Exactly one of many texts; common beginnings are shared. */
  | { readonly kind: 'literals'; readonly texts: readonly string[] }
  /** One character of the ranges. */
  | { readonly kind: 'characters'; readonly ranges: readonly CodeRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /** `max` may be Infinity. */
  | {
      readonly kind: 'repeat';
      readonly part: Expression;
      readonly min: number;
      readonly max: number;
    }
  | { readonly kind: 'rule'; readonly rule: Rule };

/** A named part; its body is set after it was made, so that rules can call themselves. */
export interface Rule {
  readonly name: string;
  body: Expression;
}

export const literal = (text: string): Expression => ({ kind: 'literal', text });
export const literals = (texts: readonly string[]): Expression => ({ kind: 'literals', texts });
export const characters = (...ranges: CodeRange[]): Expression => ({ kind: 'characters', ranges });
export const sequence = (...parts: Expression[]): Expression => ({ kind: 'sequence', parts });
export const choice = (...options: Expression[]): Expression =>
  options.length === 1 && options[0] ? options[0] : { kind: 'choice', options };
export const repeat = (part: Expression, min = 0, max = Infinity): Expression => ({
  kind: 'repeat',
  part,
  min,
  max,
});
export const optional = (part: Expression): Expression => repeat(part, 0, 1);
export const empty: Expression = sequence();
export const call = (rule: Rule): Expression => ({ kind: 'rule', rule });

export const createRule = (name: string, body: Expression = empty): Rule => ({ name, body });

/** A range of ASCII characters, as in `[a-z]`. */
export const range = (first: string, last: string): CodeRange => [
  first.codePointAt(0) ?? 0,
  last.codePointAt(0) ?? 0,
];

/** Sorted, joined ranges; surrogates taken out. */
export function normaliseRanges(ranges: readonly CodeRange[]): CodeRange[] {
  const joined: [number, number][] = [];
  for (const [first, last] of [...ranges].toSorted((a, b) => a[0] - b[0])) {
    const previous = joined.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined.flatMap(([first, last]): CodeRange[] =>
    last < 0xd800 || first > 0xdfff
      ? [[first, last]]
      : [
          ...(first < 0xd800 ? [[first, 0xd7ff] as const] : []),
          ...(last > 0xdfff ? [[0xe000, last] as const] : []),
        ],
  );
}

/** Every character that is not in `ranges`. */
export function complement(ranges: readonly CodeRange[]): CodeRange[] {
  const gaps: CodeRange[] = [];
  let next = 0;
  for (const [first, last] of normaliseRanges(ranges)) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff]);
  return normaliseRanges(gaps);
}
