// How JSON is written: white space, strings, numbers, any value. White space is bounded: a model may lay
// out its answer, but not fill it with blanks. Every string made from these parses with JSON.parse.
import {
  call,
  characters,
  choice,
  complement,
  createRule,
  literal,
  literals,
  normaliseRanges,
  optional,
  range,
  repeat,
  sequence,
  type CodeRange,
  type Expression,
} from './expression.ts';

/** Indentation deeper than this is no layout any more. */
const maxIndent = 32;

/** Nothing, a space, or a new line with indentation. */
const whiteSpace = choice(
  sequence(),
  literal(' '),
  sequence(literal('\n'), repeat(literal(' '), 0, maxIndent)),
);
export const space = call(createRule('white space', whiteSpace));

const digit = range('0', '9');
const hexDigit = characters(digit, range('a', 'f'), range('A', 'F'));
const escapedControls = new Map([
  [8, String.raw`\b`],
  [9, String.raw`\t`],
  [10, String.raw`\n`],
  [12, String.raw`\f`],
  [13, String.raw`\r`],
  [34, String.raw`\"`],
  [92, String.raw`\\`],
]);

const escapeOf = (code: number): string =>
  escapedControls.get(code) ?? String.raw`\u${code.toString(16).padStart(4, '0')}`;

/** Characters that JSON strings hold only in escaped form. */
const mustEscape: readonly CodeRange[] = [
  [0, 31],
  [34, 34],
  [92, 92],
];

/** One character of `ranges` inside a JSON string, escaped where it must be. */
export function jsonCharacter(ranges: readonly CodeRange[]): Expression {
  const wanted = normaliseRanges(ranges);
  const includes = (code: number): boolean =>
    wanted.some(([first, last]) => code >= first && code <= last);
  const escaped: string[] = [];
  for (const [first, last] of mustEscape)
    for (let code = first; code <= last; code++) if (includes(code)) escaped.push(escapeOf(code));
  const raw = complement([...complement(wanted), ...mustEscape]);
  return choice(
    ...(raw.length > 0 ? [characters(...raw)] : []),
    ...(escaped.length > 0 ? [literals(escaped)] : []),
  );
}

/** Four hexadecimal digits; outside the surrogates, or a pair of them. */
const unicodeEscape = choice(
  sequence(
    characters(digit, range('a', 'c'), range('A', 'C'), range('e', 'f'), range('E', 'F')),
    repeat(hexDigit, 3, 3),
  ),
  sequence(
    characters(range('d', 'd'), range('D', 'D')),
    characters(range('0', '7')),
    repeat(hexDigit, 2, 2),
  ),
  sequence(
    characters(range('d', 'd'), range('D', 'D')),
    characters(range('8', '9'), range('a', 'b'), range('A', 'B')),
    repeat(hexDigit, 2, 2),
    literal(String.raw`\u`),
    characters(range('d', 'd'), range('D', 'D')),
    characters(range('c', 'f'), range('C', 'F')),
    repeat(hexDigit, 2, 2),
  ),
);

/** Any one character (code point) of a JSON string, in any spelling that JSON has for it. */
const anyCharacter = call(
  createRule(
    'character',
    choice(
      characters(...complement(mustEscape)),
      sequence(
        literal('\\'),
        choice(
          characters(...Array.from('"\\/bfnrt', (c) => range(c, c))),
          sequence(literal('u'), unicodeEscape),
        ),
      ),
    ),
  ),
);

export const quoted = (content: Expression): Expression =>
  sequence(literal('"'), content, literal('"'));

/** A string of `min` to `max` characters. */
export const stringOfLength = (min: number, max: number): Expression =>
  quoted(repeat(anyCharacter, min, max));

export const anyString = call(createRule('string', stringOfLength(0, Infinity)));

const naturalDigits = (max: number): Expression =>
  choice(
    literal('0'),
    sequence(characters(range('1', '9')), repeat(characters(digit), 0, max - 1)),
  );

// 15 digits are exact in a double, whatever they are.
const exactDigits = 15;

export const anyInteger = sequence(optional(literal('-')), naturalDigits(exactDigits));

export const fraction = sequence(literal('.'), repeat(characters(digit), 1, exactDigits));

export const anyNumber = call(
  createRule(
    'number',
    sequence(
      anyInteger,
      optional(fraction),
      optional(
        sequence(
          characters(range('e', 'e'), range('E', 'E')),
          optional(characters(range('+', '+'), range('-', '-'))),
          repeat(characters(digit), 1, 2),
        ),
      ),
    ),
  ),
);

/** `open` item , item … `close`; items as `items` says, nothing inside when it may be empty. */
export const bracketed = (open: string, items: Expression, close: string): Expression =>
  sequence(literal(open), space, items, space, literal(close));

export const comma = sequence(literal(','), space);

/** `"name": value` */
export const member = (name: Expression, value: Expression): Expression =>
  sequence(name, literal(':'), space, value);

const list = (item: Expression): Expression => sequence(item, repeat(sequence(comma, item)));

const value = createRule('value');
const members = list(member(anyString, call(value)));
export const anyObject = call(
  createRule('object', choice(literal('{}'), bracketed('{', members, '}'))),
);
export const anyArray = call(
  createRule('array', choice(literal('[]'), bracketed('[', list(call(value)), ']'))),
);
value.body = choice(anyObject, anyArray, anyString, anyNumber, literals(['true', 'false', 'null']));
export const anyValue = call(value);
