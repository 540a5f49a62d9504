// The places of Wrenmouth: when they open, where they stand, what they are known for.

export interface Place {
  /** "bakery"; written with "the" before it. */
  readonly name: string;
  readonly opens: string;
  readonly closes: string;
  readonly closedOn: string;
  /** "beside the well" */
  readonly where: string;
  readonly built: number;
  readonly door: string;
  /** What makes it unlike any other, as a sentence about "it". */
  readonly curiosity: string;
}

type Row = readonly [
  name: string,
  opens: string,
  closes: string,
  closedOn: string,
  where: string,
  built: number,
  door: string,
  curiosity: string,
];

const rows: readonly Row[] = [
  ['lighthouse', 'ten', 'four', 'Monday', 'on the northern rocks', 1802, 'red', 'has ninety-nine steps'],
  ['mill', 'seven', 'three', 'Sunday', 'beside the stream', 1749, 'green', 'has five sails'],
  ['orchard', 'eight', 'six', 'Wednesday', 'behind the school', 1820, 'white', 'grows twelve kinds of apples'],
  ['bakery', 'six', 'two', 'Monday', 'across from the well', 1866, 'yellow', 'has an oven shaped like a whale'],
  ['smithy', 'nine', 'five', 'Friday', 'under the old oak', 1733, 'black', 'has a forge that never goes out'],
  ['school', 'eight', 'one', 'Saturday', 'on the green hill', 1851, 'blue', 'has a bell made of glass'],
  ['library', 'eleven', 'seven', 'Tuesday', 'next to the museum', 1790, 'brown', 'keeps four thousand books'],
  ['inn', 'noon', 'midnight', 'Thursday', 'at the end of the pier', 1711, 'red', 'is called the Blue Kettle'],
  ['harbour', 'five', 'nine', 'Sunday', 'in the bay', 1688, 'grey', 'has room for forty boats'],
  ['bell tower', 'nine', 'six', 'Wednesday', 'in the middle of the square', 1699, 'purple', 'leans a little to the east'],
  ['market', 'seven', 'one', 'Monday', 'on the square', 1650, 'green', 'has thirty stalls'],
  ['coach yard', 'six', 'eight', 'Sunday', 'behind the inn', 1777, 'brown', 'has stables for ten horses'],
  ['station', 'five', 'ten', 'Thursday', 'at the foot of the hill', 1879, 'green', 'has only one platform'],
  ['dairy', 'five', 'noon', 'Tuesday', 'on the far side of the river', 1844, 'white', 'makes a blue cheese called Moonrise'],
  ['fish stall', 'six', 'eleven', 'Sunday', 'by the harbour wall', 1901, 'blue', 'has a scale shaped like a shell'],
  ['clock shop', 'ten', 'six', 'Tuesday', 'under the arches', 1815, 'gold', 'has a hundred clocks'],
  ['surgery', 'eight', 'four', 'Saturday', 'near the bridge', 1888, 'white', 'has a skeleton called Mr Bones'],
  ['museum', 'ten', 'five', 'Wednesday', 'beside the town wall', 1834, 'brown', 'shows the bones of a sea dragon'],
  ['garden', 'seven', 'eight', 'Friday', 'south of the square', 1760, 'green', 'has a maze of yew trees'],
  ['boatyard', 'seven', 'four', 'Sunday', 'on the western shore', 1722, 'orange', 'builds three boats a year'],
  ['tea room', 'nine', 'six', 'Thursday', 'on the corner of the square', 1912, 'pink', 'serves twenty kinds of tea'],
  ['tailor shop', 'ten', 'five', 'Monday', 'above the bakery', 1855, 'purple', 'has a mirror as tall as a house'],
  ['post office', 'eight', 'four', 'Sunday', 'opposite the station', 1880, 'red', 'has a letter box shaped like a fish'],
  ['bookshop', 'ten', 'seven', 'Friday', 'beside the library', 1905, 'orange', 'has a ladder on wheels'],
  ['candle shop', 'nine', 'three', 'Saturday', 'behind the bell tower', 1840, 'white', 'smells of lavender'],
  ['bee garden', 'eight', 'five', 'Tuesday', 'on Heather Hill', 1870, 'yellow', 'has sixteen hives'],
  ['pottery', 'nine', 'four', 'Thursday', 'near the clay pit', 1831, 'blue', 'has a kiln with two chimneys'],
  ['swimming bay', 'six', 'nine', 'Friday', 'below the cliff', 1895, 'white', 'has warm water all year'],
];

export const places: readonly Place[] = rows.map(
  ([name, opens, closes, closedOn, where, built, door, curiosity]) => ({
    name,
    opens,
    closes,
    closedOn,
    where,
    built,
    door,
    curiosity,
  }),
);
