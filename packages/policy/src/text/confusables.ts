// Letters that look like Latin ones, after case-folding: a short table in the spirit of UTS #39
// (https://www.unicode.org/reports/tr39/), for the scripts in which whole words can be imitated.
// Both cases count: folded "в" stands for "B", because "В" looks like it.

const groups: Readonly<Record<string, string>> = {
  a: 'аαɑ',
  b: 'вβ',
  c: 'сϲց',
  d: 'ԁ',
  e: 'еεє',
  f: 'ϝ',
  g: 'ɡԍ',
  h: 'нһհ',
  i: 'іιɩ',
  j: 'јϳ',
  k: 'кκ',
  l: 'ӏ',
  m: 'м',
  n: 'ηոп',
  o: 'оοօσ',
  p: 'рρ',
  q: 'ԛզ',
  r: 'г',
  s: 'ѕ',
  t: 'тτ',
  u: 'υսц',
  v: 'νѵ',
  w: 'ωԝ',
  x: 'хχ',
  y: 'уγү',
  z: 'ζ',
};

const table = new Map<number, number>();
for (const [latin, lookalikes] of Object.entries(groups)) {
  for (const char of lookalikes) table.set(char.codePointAt(0) ?? 0, latin.charCodeAt(0));
}

/** The Latin letter that a folded code point looks like, or the code point itself. */
export const skeletonOf = (code: number): number => (code < 128 ? code : (table.get(code) ?? code));
