// Free text until a marker appears; the marker is the beginning of a text that a grammar describes, and that
// grammar holds from there on: how a model may decide for itself to call a tool. A marker may stand
// anywhere, or only at the start of the text (behind white space).
import type { ByteState, Grammar } from './grammar.ts';
import { advanceBytes } from './vocabulary-index.ts';

export interface Trigger {
  /** None is empty, none is a part of another; each is a beginning that the grammar allows. */
  readonly markers: readonly string[];
  /** True: a marker counts only where the text begins. */
  readonly atStart: boolean;
  readonly grammar: Grammar;
}

const isBlank = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

/** A place in the trie of the markers. */
interface Node {
  readonly children: Map<number, Node>;
  /** The marker that ends here. */
  marker: Uint8Array | null;
  /** The longest end of the bytes so far that a marker begins with (Aho and Corasick 1975). */
  fallback: Node | null;
  state: ByteState | null;
}

const createNode = (): Node => ({
  children: new Map(),
  marker: null,
  fallback: null,
  state: null,
});

function buildTrie(markers: Trigger['markers']): Node {
  const root = createNode();
  for (const text of markers) {
    const marker = new TextEncoder().encode(text);
    let node = root;
    for (const byte of marker) {
      const child = node.children.get(byte) ?? createNode();
      node.children.set(byte, child);
      node = child;
    }
    node.marker = marker;
  }
  // Breadth first: the fallback of a shorter beginning is known before that of a longer one.
  const waiting = [root];
  for (const node of waiting)
    for (const [byte, child] of node.children) {
      let fallback = node.fallback;
      while (fallback && !fallback.children.has(byte)) fallback = fallback.fallback;
      child.fallback = fallback?.children.get(byte) ?? root;
      waiting.push(child);
    }
  return root;
}

/** The automaton of free text with markers. Its states are made once and shared. */
export function createTrigger({ markers, atStart, grammar }: Trigger): ByteState {
  const root = buildTrie(markers);

  /** Nothing can trigger any more. */
  const open: ByteState = { accepting: true, free: true, final: false, advance: () => open };

  function inGrammar(marker: Uint8Array): ByteState {
    const state = advanceBytes(grammar.start(), marker);
    if (!state) throw new Error('a marker that its grammar does not begin with');
    return state;
  }

  function next(node: Node, byte: number): ByteState {
    for (let at: Node | null = node; at; at = atStart ? null : at.fallback) {
      const child = at.children.get(byte);
      if (child) return child.marker ? inGrammar(child.marker) : stateOf(child);
    }
    if (!atStart) return stateOf(root);
    return node === root && isBlank(byte) ? stateOf(root) : open;
  }

  function stateOf(node: Node): ByteState {
    node.state ??= {
      accepting: true,
      free: true,
      final: false,
      advance: (byte) => next(node, byte),
    };
    return node.state;
  }

  return stateOf(root);
}
