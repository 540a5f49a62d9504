// Reads tool calls out of text that arrives in pieces: content passes until a marker appears, then each call
// is an object with a name and arguments, whose text is told piece by piece. Holds back no more than what
// may still become a marker, with the white space before it. Any cutting of the same text gives the same
// calls. The grammar sees to the form; text that is cut off in the middle ends where it was cut.
import type { ToolCallDelta } from '@corral/contracts';

interface ToolCallText {
  /** Text of the answer that is no call. */
  readonly text: string;
  readonly calls: readonly ToolCallDelta[];
}

export interface ToolCallParser {
  push(text: string): ToolCallText;
  /** What was held back, when the text ends. */
  flush(): string;
  /** Calls begun so far. */
  readonly count: number;
}

export interface ToolCallSyntax {
  readonly markers: readonly string[];
  /** A marker counts only where the text begins, behind white space. */
  readonly atStart: boolean;
  /** The marker is the beginning of the first call's object, not a sign before it. */
  readonly partOfCall: boolean;
}

/** Everything up to the first character of the arguments. */
const head =
  /^\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([^"]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)/;

const blank = /\s/;

/** How deep a JSON text has gone, read character by character. */
interface Depth {
  readonly level: number;
  readonly inString: boolean;
  readonly escaped: boolean;
}

const outside: Depth = { level: 0, inString: false, escaped: false };

function follow({ level, inString, escaped }: Depth, character: string): Depth {
  if (inString) {
    if (escaped) return { level, inString, escaped: false };
    return { level, inString: character !== '"', escaped: character === '\\' };
  }
  if (character === '"') return { level, inString: true, escaped };
  if (character === '{' || character === '[') return { level: level + 1, inString, escaped };
  if (character === '}' || character === ']') return { level: level - 1, inString, escaped };
  return { level, inString, escaped };
}

/** Where the text may still become a marker: the first such place, and the marker that is already whole. */
function findMarker(
  text: string,
  { markers }: ToolCallSyntax,
): { readonly at: number; readonly marker: string | null } {
  const whole = markers
    .map((marker) => ({ at: text.indexOf(marker), marker }))
    .filter(({ at }) => at >= 0)
    .toSorted((a, b) => a.at - b.at)[0];
  if (whole) return whole;
  const longest = Math.max(...markers.map((marker) => marker.length));
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
    const end = text.slice(at);
    if (markers.some((marker) => marker.startsWith(end))) return { at, marker: null };
  }
  return { at: text.length, marker: null };
}

class StreamedCalls {
  readonly #newId: () => string;
  #state: 'between' | 'head' | 'arguments' | 'tail' = 'between';
  #head = '';
  #depth = outside;
  count = 0;

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  push(text: string): ToolCallDelta[] {
    const deltas: ToolCallDelta[] = [];
    let piece = '';
    const index = (): number => this.count - 1;
    const sendPiece = (): void => {
      if (piece !== '') deltas.push({ index: index(), arguments: piece });
      piece = '';
    };
    for (const character of text) {
      if (this.#state === 'head') {
        this.#head += character;
        const found = head.exec(this.#head);
        if (!found) continue;
        this.count++;
        deltas.push({ index: index(), id: this.#newId(), name: found[1] ?? '', arguments: '' });
        this.#state = 'arguments';
        this.#depth = outside;
      }
      if (this.#state === 'arguments') {
        this.#depth = follow(this.#depth, character);
        piece += character;
        if (this.#depth.level > 0 || this.#depth.inString) continue;
        sendPiece();
        this.#state = 'tail';
      } else if (this.#state === 'tail') {
        if (character === '}') this.#state = 'between';
      } else if (character === '{') {
        this.#state = 'head';
        this.#head = character;
      }
    }
    sendPiece();
    return deltas;
  }
}

/**
 * `callsOnly`: the answer begins with a call, without a marker before it. `newId` makes the ids of calls.
 */
export function createToolCallParser(
  syntax: ToolCallSyntax,
  { callsOnly, newId }: { readonly callsOnly: boolean; readonly newId: () => string },
): ToolCallParser {
  const calls = new StreamedCalls(newId);
  let state: 'content' | 'free' | 'calls' = callsOnly ? 'calls' : 'content';
  let held = '';

  function enterCalls(all: string, at: number, marker: string): ToolCallText {
    state = 'calls';
    const rest = all.slice(syntax.partOfCall ? at : at + marker.length);
    return { text: all.slice(0, at).trimEnd(), calls: calls.push(rest) };
  }

  function pass(all: string, length: number): ToolCallText {
    held = all.slice(length);
    return { text: all.slice(0, length), calls: [] };
  }

  function pushAtStart(all: string): ToolCallText {
    const { markers } = syntax;
    const begun = all.trimStart();
    const at = all.length - begun.length;
    const marker = markers.find((candidate) => begun.startsWith(candidate));
    if (marker !== undefined) return enterCalls(all, at, marker);
    if (markers.some((candidate) => candidate.startsWith(begun))) return pass(all, 0);
    state = 'free';
    return pass(all, all.length);
  }

  function pushAnywhere(all: string): ToolCallText {
    const { at, marker } = findMarker(all, syntax);
    if (marker !== null) return enterCalls(all, at, marker);
    let length = at;
    while (length > 0 && blank.test(all[length - 1] ?? '')) length--;
    return pass(all, length);
  }

  return {
    push: (text) => {
      if (state === 'calls') return { text: '', calls: calls.push(text) };
      const all = held + text;
      held = '';
      if (state === 'free') return { text: all, calls: [] };
      return syntax.atStart ? pushAtStart(all) : pushAnywhere(all);
    },
    flush: () => {
      const rest = held;
      held = '';
      return rest;
    },
    get count() {
      return calls.count;
    },
  };
}
