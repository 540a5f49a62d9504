// Normal forms of one grapheme cluster: what is matched instead of what is written. The steps follow
// Unicode (NFKC, case folding, Default_Ignorable_Code_Point); the original is kept for output.

// Bounded: a text of many different clusters must not grow the process.
const maxCached = 4_096;

// Left out before matching: what has no glyph (zero-width, tags, variation selectors, fillers), bidi
// controls, interlinear annotation, control characters other than white space. A text or emoji variation
// selector stays after an emoji, where it means something.
const invisible =
  /(?<!\p{Extended_Pictographic})[\uFE0E\uFE0F]|[[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Cc}\uFFF9-\uFFFB]--[\uFE0E\uFE0F\t-\r\x85]]/gv;
const marks = /\p{Mn}/gu;
const markable = /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]/u;

/** Half a surrogate pair counts as U+FFFD: two halves must not meet where something was left out. */
const codesOf = (text: string): readonly number[] =>
  Array.from(text.toWellFormed(), (char) => char.codePointAt(0) ?? 0);

/** NFKC without invisible characters, case kept. */
const stripped = (cluster: string): string => cluster.replace(invisible, '').normalize('NFKC');

/** Case-folded too; marks that no letter composes with (U+0300 on "k") are decoration and go. */
function folded(cluster: string): string {
  // Upper case in between gives full folding: ß and ẞ become ss, ſ becomes s, ς becomes σ.
  const text = stripped(cluster).toLowerCase().toUpperCase().toLowerCase().normalize('NFKC');
  return markable.test(text) ? text.replace(marks, '') : text;
}

function cached(compute: (cluster: string) => string): (cluster: string) => readonly number[] {
  const known = new Map<string, readonly number[]>();
  return (cluster) => {
    let codes = known.get(cluster);
    if (codes === undefined) {
      if (known.size >= maxCached) known.clear();
      codes = codesOf(compute(cluster));
      known.set(cluster, codes);
    }
    return codes;
  };
}

export const stripCluster = cached(stripped);
export const foldCluster = cached(folded);
export const rawCluster = cached((cluster) => cluster);

/** Separators that people put between the letters of one word to hide it. */
const separators = new Set(codesOf(' .,-_*·•|/~\'"+:'));
export const isSeparator = (code: number): boolean => separators.has(code);
