// The seam to re2js: it parses RE2 syntax and compiles it to an instruction list; this file reads that
// list and runs it as a lazy automaton, one character at a time. Why not re2js's matcher: it answers
// "match or not" for a text that is all there, and cannot say whether a match may still grow, which is
// what releasing a stream needs. The list is internal to re2js, so its version is pinned exactly and the
// tests compare every answer with re2js's own matcher.
import { RE2JS } from 're2js';
import { breakCode } from '../text/char-buffer.ts';

const op = {
  alt: 1,
  altMatch: 2,
  capture: 3,
  emptyWidth: 4,
  fail: 5,
  match: 6,
  nop: 7,
  rune: 8,
  rune1: 9,
  runeAny: 10,
  runeAnyNotNewline: 11,
} as const;
/** Conditions of an empty-width instruction. */
const empty = {
  beginLine: 1,
  endLine: 2,
  beginText: 4,
  endText: 8,
  wordBoundary: 16,
  noWordBoundary: 32,
} as const;

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  readonly matchRune: (code: number) => boolean;
}

/** A program larger than this (bounded repetition multiplies) is refused. */
const maxInstructions = 20_000;
/** Cached states beyond this are forgotten and made again: bounds memory, not correctness. */
const maxStates = 2_048;

/** Stands for the end of the text as a right neighbour. */
export const endCode = -2;

/** What lies before a position, as far as conditions can see it. */
const before = { textStart: 0, newline: 1, word: 2, other: 3 } as const;

const isWord = (code: number): boolean =>
  (code >= 0x61 && code <= 0x7a) ||
  (code >= 0x41 && code <= 0x5a) ||
  (code >= 0x30 && code <= 0x39) ||
  code === 0x5f;
const contextOf = (code: number): number =>
  code === 0x0a ? before.newline : isWord(code) ? before.word : before.other;

function conditions(context: number, next: number): number {
  let met = 0;
  if (context === before.textStart) met |= empty.beginText | empty.beginLine;
  if (context === before.newline) met |= empty.beginLine;
  if (next === endCode) met |= empty.endText | empty.endLine;
  if (next === 0x0a) met |= empty.endLine;
  const boundary = (context === before.word) !== isWord(next);
  return met | (boundary ? empty.wordBoundary : empty.noWordBoundary);
}

export interface Transition {
  /** The text read so far, without the next character, is a match. */
  readonly accepts: boolean;
  /** State after the next character; null when no match can go on. */
  readonly next: RegexState | null;
}

export interface RegexState {
  /** Instructions waiting for a character or a condition. */
  readonly pcs: readonly number[];
  readonly context: number;
  readonly ascii: (Transition | undefined)[];
  readonly others: Map<number, Transition>;
}

export class RegexProgram {
  readonly #instructions: readonly Instruction[];
  readonly #start: number;
  /** Without conditions, what lies before a position cannot matter, and states are fewer. */
  readonly #seesContext: boolean;
  #states = new Map<string, RegexState>();
  /** By context; kept beside the map because every candidate begins here. */
  #startStates: (RegexState | undefined)[] = [];

  /** Compiles RE2 syntax; throws Error with a reason for a person. */
  constructor(pattern: string) {
    const { prog } = RE2JS.compile(pattern).re2() as {
      prog: { start: number; inst: Instruction[] };
    };
    if (prog.inst.length > maxInstructions) {
      throw new Error(`it compiles to ${prog.inst.length} steps; the limit is ${maxInstructions}`);
    }
    const known = new Set<number>(Object.values(op));
    const unknown = prog.inst.find((instruction) => !known.has(instruction.op));
    if (unknown !== undefined) throw new Error(`instruction ${unknown.op} is not supported`);
    this.#instructions = prog.inst;
    this.#start = prog.start;
    this.#seesContext = prog.inst.some((instruction) => instruction.op === op.emptyWidth);
  }

  /** The state in which nothing is read yet, at a position after `previous` (undefined: text start). */
  startState(previous: number | undefined): RegexState {
    const context = previous === undefined ? before.textStart : contextOf(previous);
    return (this.#startStates[context] ??= this.#state([this.#start], context));
  }

  #state(pcs: readonly number[], context: number): RegexState {
    const seen = this.#seesContext ? context : before.other;
    const key = `${seen}:${pcs.join()}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      if (this.#states.size >= maxStates) {
        this.#states = new Map();
        this.#startStates = [];
      }
      state = { pcs, context: seen, ascii: [], others: new Map() };
      this.#states.set(key, state);
    }
    return state;
  }

  /** One step; `next` is the character that follows, `breakCode` or `endCode`. */
  step(state: RegexState, next: number): Transition {
    const known = next >= 0 && next < 128 ? state.ascii[next] : state.others.get(next);
    if (known !== undefined) return known;
    const transition = this.#compute(state, next);
    if (next >= 0 && next < 128) {
      state.ascii[next] = transition;
    } else {
      if (state.others.size >= maxStates) state.others.clear();
      state.others.set(next, transition);
    }
    return transition;
  }

  #compute(state: RegexState, next: number): Transition {
    const met = conditions(state.context, next);
    const visited = new Set<number>();
    const stack = [...state.pcs];
    const after = new Set<number>();
    let accepts = false;
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      const instruction = this.#instructions[pc];
      if (instruction === undefined || visited.has(pc)) continue;
      visited.add(pc);
      switch (instruction.op) {
        case op.alt:
        case op.altMatch:
          stack.push(instruction.out, instruction.arg);
          break;
        case op.capture:
        case op.nop:
          stack.push(instruction.out);
          break;
        case op.emptyWidth:
          if ((instruction.arg & ~met) === 0) stack.push(instruction.out);
          break;
        case op.match:
          accepts = true;
          break;
        case op.fail:
          break;
        default:
          if (reads(instruction, next)) after.add(instruction.out);
      }
    }
    const pcs = [...after].toSorted((a, b) => a - b);
    return { accepts, next: pcs.length === 0 ? null : this.#state(pcs, contextOf(next)) };
  }
}

function reads(instruction: Instruction, code: number): boolean {
  if (code === breakCode || code === endCode) return false;
  if (instruction.op === op.runeAny) return true;
  if (instruction.op === op.runeAnyNotNewline) return code !== 0x0a;
  return instruction.matchRune(code);
}
