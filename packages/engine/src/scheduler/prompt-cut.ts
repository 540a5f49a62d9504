// Where a prompt is cut into pieces, so that equal prompts give equal numbers whether they are computed
// cold, in company, or from the prefix cache. Measured on llama.cpp's CPU backend with quantised weights:
// the numbers of a position do not depend on the others of the batch at all, but on whether its sequence
// has at least 64 tokens in the decode (flash attention in float32 tiles) or fewer (in float16, and half as
// fast). So each prompt has one place, its cut: what lies before it is computed in large pieces, the rest in
// small ones. Nothing else decides: neither what was found in the cache nor how fast the machine is.

/** Tokens of one sequence in one decode from which on attention works in tiles. */
export const largePiece = 64;
/**
 * A single token is computed in other ways than two and more: by other products where weights are floats, and
 * by attention that is split over the threads where there are several. So no prompt ends in one.
 */
export const smallestPiece = 2;
/** A prompt no longer than this is read in one piece: a second one would cost more than it could ever save. */
const shortPrompt = 128;
/** Behind the last message boundary small pieces are worth their price up to this length. */
const longestTail = 256;
/** Fewer tokens are computed sooner than found. */
export const shortestReuse = 16;

/**
 * Position from which a prompt of `length` tokens is computed in small pieces: 0 or at least `largePiece`;
 * `length` where all of it is one large piece.
 * `boundary`: where its last message begins. Prompts that differ only in that message share all before it.
 */
export function cutOf(length: number, boundary?: number): number {
  const last = boundary === undefined ? 0 : length - boundary;
  if (length - last >= largePiece && last >= smallestPiece && last <= longestTail)
    return length - last;
  if (length < largePiece) return 0;
  const cut = largePiece * Math.floor(length / largePiece);
  if (length <= shortPrompt || length - cut === 1) return length;
  return cut === length ? cut - largePiece : cut;
}

/** Tokens of the next small piece of `left`. */
export const nextSmallPiece = (left: number): number =>
  left === largePiece ? largePiece - smallestPiece : Math.min(left, largePiece - 1);

/** A decode must take so many tokens: then whatever is left before a cut can be cut into large pieces. */
export const smallestBatch = 2 * largePiece - 1;

/**
 * Tokens of the next large piece of `left` (at least `largePiece`): at most `room` and never so many that
 * too few are left for another. What is too short for two is one piece, whatever the room.
 */
export function nextLargePiece(left: number, room: number): number {
  if (left <= Math.max(room, smallestBatch)) return left;
  return Math.max(largePiece, Math.min(room, left - largePiece));
}

/**
 * How many tokens a prompt with its cut at `cut` takes from a sequence that shares `common` tokens with it
 * and was computed in large pieces before `smallFrom`: those whose keys and values are what a cold run
 * gives, and not so many that too few are left for a large piece before the cut.
 */
export function reusable(common: number, smallFrom: number, cut: number): number {
  let taken = smallFrom === cut ? common : Math.min(common, smallFrom, cut);
  if (taken < cut && cut - taken < largePiece) taken = Math.max(0, cut - largePiece);
  return taken < shortestReuse ? 0 : taken;
}
