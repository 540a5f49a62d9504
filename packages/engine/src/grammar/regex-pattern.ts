// The regular expressions of JSON schemas (`pattern`, ECMA-262) as expressions over the characters of a JSON
// string. What a finite automaton cannot follow, or what differs between dialects, is refused by name:
// look-around, back references, \b, \p, flags, anchors inside.
import {
  choice,
  complement,
  empty,
  repeat,
  sequence,
  type CodeRange,
  type Expression,
} from './expression.ts';
import { jsonCharacter } from './json-text.ts';

/** What of the pattern is not supported, in words. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/** Longer patterns and higher counts make grammars that nobody meant. */
const maxLength = 2048;
const maxCount = 1000;
const maxNesting = 32;

const one = (character: string): CodeRange => {
  const code = character.codePointAt(0) ?? 0;
  return [code, code];
};
const digits: CodeRange[] = [[48, 57]];
const word: CodeRange[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const blanks: CodeRange[] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: CodeRange[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];

const sets: Readonly<Record<string, readonly CodeRange[]>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: blanks,
  S: complement(blanks),
};
const controls: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  f: '\f',
  v: '\v',
  0: '\0',
};

const anyText = repeat(jsonCharacter([[0, 0x10ffff]]));

class PatternParser {
  readonly #source: string[];
  #at = 0;
  #nesting = 0;

  constructor(pattern: string) {
    this.#source = Array.from(pattern);
  }

  /** The whole pattern; without anchors any text may stand before and behind. */
  parse(): Expression {
    const options = this.#alternatives(true);
    if (this.#at < this.#source.length) throw new PatternError('")" without "("');
    return options;
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #alternatives(top: boolean): Expression {
    const options: Expression[] = [];
    do options.push(top ? this.#anchored() : this.#terms());
    while (this.#take('|'));
    return choice(...options);
  }

  #anchored(): Expression {
    const start = this.#take('^');
    const body = this.#terms();
    const end = this.#take('$');
    if (end && this.#peek() !== '|' && this.#peek() !== undefined)
      throw new PatternError('"$" that is not at the end');
    return sequence(start ? empty : anyText, body, end ? empty : anyText);
  }

  #terms(): Expression {
    const parts: Expression[] = [];
    for (let c = this.#peek(); c !== undefined && c !== '|' && c !== ')'; c = this.#peek()) {
      if (c === '$' && this.#nesting === 0) break;
      parts.push(this.#quantified(this.#atom()));
    }
    return sequence(...parts);
  }

  #atom(): Expression {
    const character = this.#source[this.#at++] ?? '';
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return jsonCharacter(this.#set());
      case '.':
        return jsonCharacter(complement(lineEnds));
      case '\\':
        return jsonCharacter(this.#escape(false));
      case '^':
      case '$':
        throw new PatternError(`"${character}" inside a pattern`);
      case '*':
      case '+':
      case '?':
      case '{':
        throw new PatternError(`"${character}" with nothing to repeat`);
      default:
        return jsonCharacter([one(character)]);
    }
  }

  #group(): Expression {
    if (++this.#nesting > maxNesting) throw new PatternError('groups nested too deep');
    if (this.#take('?') && !this.#take(':')) this.#groupName();
    const body = this.#alternatives(false);
    if (!this.#take(')')) throw new PatternError('"(" without ")"');
    this.#nesting--;
    return body;
  }

  #groupName(): void {
    const rest = this.#source.slice(this.#at, this.#at + 64).join('');
    const name = /^<[A-Za-z_]\w*>/.exec(rest)?.[0];
    if (!name) throw new PatternError(`a group that begins with "(?${rest.slice(0, 2)}"`);
    this.#at += name.length;
  }

  #hex(length: number): CodeRange[] {
    const digitsText = this.#source.slice(this.#at, this.#at + length).join('');
    if (!/^[\da-fA-F]+$/.test(digitsText) || digitsText.length < length)
      throw new PatternError('an escape without its digits');
    this.#at += length;
    const code = Number.parseInt(digitsText, 16);
    return [[code, code]];
  }

  #escape(inSet: boolean): readonly CodeRange[] {
    const character = this.#source[this.#at++];
    if (character === undefined) throw new PatternError('a "\\" at the end');
    const set = sets[character];
    if (set) return set;
    const control = controls[character];
    if (control !== undefined) return [one(control)];
    if (character === 'x') return this.#hex(2);
    if (character === 'u') {
      if (!this.#take('{')) return this.#hex(4);
      const length = this.#source.indexOf('}', this.#at) - this.#at;
      const code = length > 0 && length <= 6 ? this.#hex(length) : [];
      this.#at++;
      if (!code[0] || code[0][0] > 0x10ffff) throw new PatternError('an escape without its digits');
      return code;
    }
    if (character === 'b' && inSet) return [one('\b')];
    if (/[a-zA-Z1-9]/.test(character)) throw new PatternError(`"\\${character}"`);
    return [one(character)];
  }

  #set(): CodeRange[] {
    const negated = this.#take('^');
    const ranges: CodeRange[] = [];
    while (!this.#take(']')) {
      const first = this.#member();
      const [from] = first;
      if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at++;
        const [to] = this.#member();
        const single = first.length === 1 && from && from[0] === from[1];
        if (!single || !to || to[0] < from[0]) throw new PatternError('a range of no characters');
        ranges.push([from[0], to[1]]);
      } else ranges.push(...first);
    }
    const set = negated ? complement(ranges) : ranges;
    if (set.length === 0) throw new PatternError('"[]", which matches nothing');
    return set;
  }

  #member(): readonly CodeRange[] {
    const character = this.#source[this.#at++];
    if (character === undefined) throw new PatternError('"[" without "]"');
    return character === '\\' ? this.#escape(true) : [one(character)];
  }

  #quantified(part: Expression): Expression {
    const bounds = this.#bounds();
    if (!bounds) return part;
    this.#take('?'); // Lazy or not: the same texts match.
    const [min, max] = bounds;
    if (min > maxCount || (Number.isFinite(max) && max > maxCount))
      throw new PatternError(`a count above ${maxCount}`);
    if (min > max) throw new PatternError('a count whose end is below its start');
    return repeat(part, min, max);
  }

  #bounds(): readonly [number, number] | null {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    if (this.#peek() !== '{') return null;
    const rest = this.#source.slice(this.#at, this.#at + 16).join('');
    const found = /^\{(\d+)(,(\d*))?\}/.exec(rest);
    if (!found) throw new PatternError('"{" that is no count');
    this.#at += found[0].length;
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === '' ? Infinity : Number(found[3]);
    return [min, max];
  }
}

/** The inside of a JSON string that matches `pattern`. Throws PatternError with what is not supported. */
export function patternText(pattern: string): Expression {
  if (pattern.length > maxLength)
    throw new PatternError(`a pattern of more than ${maxLength} characters`);
  return new PatternParser(pattern).parse();
}
