// Follows a grammar byte by byte. A state is the set of all places the text so far may have led to (node
// and open calls); states are kept with the bytes that lead on from them, so that a text like one seen
// before costs one look-up a byte: a finite automaton that is made while it is used. States never change:
// keep one to come back to it. Knows no tokens.
import { createRule, type Expression } from './expression.ts';
import {
  buildNetwork,
  GrammarError,
  type GrammarNetwork,
  type NetworkNode,
} from './grammar-network.ts';

/** A place in a text that some automaton follows. */
export interface ByteState {
  /** The text may end here. */
  readonly accepting: boolean;
  /** Any text may follow: tokens without text may pass as well. */
  readonly free: boolean;
  /** Nothing may follow. */
  readonly final: boolean;
  /** Where `byte` leads; null when it may not follow. */
  advance(byte: number): ByteState | null;
}

/** Calls open at once: about a third as many levels of JSON. */
const maxDepth = 256;
/** Places a state may hold; more come only from schemas made to be ambiguous. */
const maxPlaces = 4096;
/** States kept for later; about a kilobyte each. */
const maxStates = 4096;

/** Open calls, innermost first; equal ones are the same object. */
interface OpenCall {
  readonly id: number;
  readonly next: number;
  readonly parent: OpenCall | null;
  readonly depth: number;
}

interface Place {
  readonly node: number;
  readonly calls: OpenCall | null;
}

/** What states share: where they lead, and which bytes no node of the network tells apart. */
interface Transitions {
  readonly follow: (state: GrammarState, byte: number) => GrammarState | null;
  /** [256] class of each byte. */
  readonly classes: Uint8Array;
}

class GrammarState implements ByteState {
  readonly free = false;
  readonly accepting: boolean;
  readonly places: readonly Place[];
  readonly #transitions: Transitions;
  /** By class of byte. */
  readonly #next: (GrammarState | null | undefined)[] = [];

  constructor(places: readonly Place[], accepting: boolean, transitions: Transitions) {
    this.places = places;
    this.accepting = accepting;
    this.#transitions = transitions;
  }

  get final(): boolean {
    return this.places.length === 0;
  }

  advance(byte: number): GrammarState | null {
    const kind = this.#transitions.classes[byte] as number;
    const known = this.#next[kind];
    if (known !== undefined) return known;
    const next = this.#transitions.follow(this, byte);
    this.#next[kind] = next;
    return next;
  }
}

/** Bytes that every byte node takes or leaves together have the same class. */
function byteClasses(nodes: readonly NetworkNode[]): Uint8Array {
  const begins = new Uint8Array(257);
  for (const node of nodes) {
    if (node.kind !== 'byte') continue;
    begins[node.first] = 1;
    begins[node.last + 1] = 1;
  }
  const classes = new Uint8Array(256);
  for (let byte = 1; byte < 256; byte++)
    classes[byte] = (classes[byte - 1] as number) + (begins[byte] as number);
  return classes;
}

class GrammarAutomaton {
  readonly #network: GrammarNetwork;
  readonly #transitions: Transitions;
  readonly #states = new Map<string, GrammarState>();
  readonly #calls = new Map<string, OpenCall>();
  #callIds = 0;

  constructor(network: GrammarNetwork) {
    this.#network = network;
    this.#transitions = { follow: this.#follow, classes: byteClasses(network.nodes) };
  }

  start(): GrammarState {
    return this.#stateOf([{ node: this.#network.starts[0] as number, calls: null }]);
  }

  #open(next: number, parent: OpenCall | null): OpenCall {
    const key = `${next} ${parent?.id ?? ''}`;
    let open = this.#calls.get(key);
    if (!open) {
      open = { id: this.#callIds++, next, parent, depth: (parent?.depth ?? 0) + 1 };
      this.#calls.set(key, open);
    }
    return open;
  }

  readonly #follow = (state: GrammarState, byte: number): GrammarState | null => {
    const places: Place[] = [];
    for (const { node, calls } of state.places) {
      const at = this.#network.nodes[node] as NetworkNode;
      if (at.kind === 'byte' && byte >= at.first && byte <= at.last)
        places.push({ node: at.next, calls });
    }
    return places.length === 0 ? null : this.#stateOf(places);
  };

  /** One number for a place. */
  #keyOf({ node, calls }: Place): number {
    return node + ((calls?.id ?? -1) + 1) * this.#network.nodes.length;
  }

  /** The state of these places and of all that can be reached from them without a byte. */
  #stateOf(from: Place[]): GrammarState {
    const { nodes, starts, needs } = this.#network;
    const waiting = from;
    const seen = new Set<number>();
    const places: Place[] = [];
    let accepting = false;
    for (let place = waiting.pop(); place; place = waiting.pop()) {
      const { node, calls } = place;
      if ((calls?.depth ?? 0) + (needs[node] as number) > maxDepth) continue;
      const key = this.#keyOf(place);
      if (seen.has(key)) continue;
      seen.add(key);
      const at = nodes[node] as NetworkNode;
      if (at.kind === 'byte') places.push(place);
      else if (at.kind === 'split')
        for (const target of at.targets) waiting.push({ node: target, calls });
      else if (at.kind === 'call')
        waiting.push({ node: starts[at.rule] as number, calls: this.#open(at.next, calls) });
      else if (calls) waiting.push({ node: calls.next, calls: calls.parent });
      else accepting = true;
      if (places.length > maxPlaces)
        throw new GrammarError('too_ambiguous', 'the same text can be read in too many ways');
    }
    return this.#intern(places, accepting);
  }

  #intern(places: Place[], accepting: boolean): GrammarState {
    const keys = Float64Array.from(places, (place) => this.#keyOf(place)).sort();
    const key = `${accepting ? '!' : ''}${keys.join()}`;
    const known = this.#states.get(key);
    if (known) return known;
    // Who still holds a state can go on from it; only what nobody holds is forgotten.
    if (this.#states.size >= maxStates) {
      this.#states.clear();
      this.#calls.clear();
    }
    const state = new GrammarState(places, accepting, this.#transitions);
    this.#states.set(key, state);
    return state;
  }
}

/** What may be written, from its first byte on. */
export interface Grammar {
  readonly start: () => ByteState;
}

/** Throws GrammarError when the expression has no end, begins with itself or is too large. */
export function compileGrammar(expression: Expression): Grammar {
  const network = buildNetwork(createRule('the whole', expression));
  const automaton = new GrammarAutomaton(network);
  return { start: () => automaton.start() };
}

/** True when `text` as a whole is what the grammar describes. */
export function grammarMatches(grammar: Grammar, text: string): boolean {
  let state: ByteState | null = grammar.start();
  for (const byte of new TextEncoder().encode(text)) state = state?.advance(byte) ?? null;
  return state?.accepting ?? false;
}
