// The merges that a SentencePiece byte-pair vocabulary implies. SentencePiece (and llama.cpp's SPM
// tokenizer) joins the neighbours whose union is the token of the highest score; a Hugging Face tokenizer
// joins the pair of the lowest rank. So every split of every token into two tokens is a merge, ranked by
// the score of the token that it makes.

/**
 * `left right` pairs, best first. `scores` are GGUF's (higher joins first), one for each token.
 * Splits of one token are ordered by the ids of their parts, as Hugging Face's own converter does.
 */
export function sentencePieceMerges(
  tokens: readonly string[],
  scores: ArrayLike<number>,
): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byScore = [...tokens.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const merges: [string, string][] = [];
  for (const id of byScore) {
    const token = tokens[id] ?? '';
    const splits: { pair: [string, string]; left: number; right: number }[] = [];
    for (let at = 1; at < token.length; at++) {
      const pair: [string, string] = [token.slice(0, at), token.slice(at)];
      const left = ids.get(pair[0]);
      const right = ids.get(pair[1]);
      if (left !== undefined && right !== undefined) splits.push({ pair, left, right });
    }
    splits.sort((a, b) => a.left - b.left || a.right - b.right);
    for (const { pair } of splits) merges.push(pair);
  }
  return merges;
}
