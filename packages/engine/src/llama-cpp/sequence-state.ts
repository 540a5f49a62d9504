// The saved state of one sequence, made to fit a context with another number of sequences: such a state lists
// the cells of every cache of its context, and only the sequence's own has some. Source: state_seq_get_data of
// llama-context.cpp and state_write of llama-kv-cache.cpp of the pinned release (magic, sequence, number of
// caches, then for each the count of its cells and, where there are some, the cells). Pure; knows no tokens.

const wordBytes = 4;
/** Of the number of caches, in words: magic and sequence lie before it. */
const countWord = 2;
const headBytes = (countWord + 1) * wordBytes;

/** Bytes of an empty sequence's state where the layout is the one known here. */
export const emptyStateBytes = (caches: number): number => headBytes + caches * wordBytes;

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

export const cachesOf = (state: Uint8Array): number =>
  state.byteLength < headBytes ? 0 : viewOf(state).getUint32(countWord * wordBytes, true);

/** The same state as a context with `caches` of them saves it. Null when it is none. */
export function withCaches(state: Uint8Array, caches: number): Uint8Array | null {
  const before = cachesOf(state);
  if (before === 0 || state.byteLength < emptyStateBytes(before)) return null;
  const view = viewOf(state);
  let own = 0;
  while (own < before && view.getUint32(headBytes + own * wordBytes, true) === 0) own++;
  const start = headBytes + own * wordBytes;
  const end = own === before ? start : state.byteLength - (before - 1 - own) * wordBytes;
  const empty = own === before ? caches : caches - 1;
  const made = new Uint8Array(headBytes + (end - start) + empty * wordBytes);
  made.set(state.subarray(0, headBytes));
  made.set(state.subarray(start, end), headBytes);
  viewOf(made).setUint32(countWord * wordBytes, caches, true);
  return made;
}
