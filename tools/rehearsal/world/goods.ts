// What is sold in Wrenmouth, where, and for how many pennies; the boats; the days of the week.

export interface Good {
  /** "loaf of bread" */
  readonly name: string;
  readonly plural: string;
  /** "a" or "an". */
  readonly article: string;
  readonly place: string;
  readonly pennies: number;
}

type Row = readonly [name: string, plural: string, place: string, pennies: number];

const rows: readonly Row[] = [
  ['loaf of bread', 'loaves of bread', 'bakery', 4],
  ['honey bun', 'honey buns', 'bakery', 2],
  ['plum cake', 'plum cakes', 'bakery', 9],
  ['bag of flour', 'bags of flour', 'mill', 6],
  ['sack of oats', 'sacks of oats', 'mill', 11],
  ['basket of apples', 'baskets of apples', 'orchard', 5],
  ['jug of cider', 'jugs of cider', 'orchard', 7],
  ['horseshoe', 'horseshoes', 'smithy', 3],
  ['iron lantern', 'iron lanterns', 'smithy', 18],
  ['garden gate', 'garden gates', 'smithy', 40],
  ['library card', 'library cards', 'library', 1],
  ['bowl of fish stew', 'bowls of fish stew', 'inn', 8],
  ['room for one night', 'rooms for one night', 'inn', 20],
  ['mug of cocoa', 'mugs of cocoa', 'inn', 3],
  ['wheel of cheese', 'wheels of cheese', 'dairy', 15],
  ['bottle of milk', 'bottles of milk', 'dairy', 2],
  ['pot of butter', 'pots of butter', 'dairy', 5],
  ['smoked herring', 'smoked herrings', 'fish stall', 4],
  ['bucket of mussels', 'buckets of mussels', 'fish stall', 6],
  ['crab', 'crabs', 'fish stall', 9],
  ['pocket watch', 'pocket watches', 'clock shop', 60],
  ['alarm clock', 'alarm clocks', 'clock shop', 25],
  ['bottle of cough syrup', 'bottles of cough syrup', 'surgery', 5],
  ['museum ticket', 'museum tickets', 'museum', 2],
  ['bunch of roses', 'bunches of roses', 'garden', 6],
  ['bag of seeds', 'bags of seeds', 'garden', 1],
  ['rowing boat', 'rowing boats', 'boatyard', 300],
  ['wooden oar', 'wooden oars', 'boatyard', 12],
  ['pot of tea', 'pots of tea', 'tea room', 3],
  ['slice of lemon cake', 'slices of lemon cake', 'tea room', 2],
  ['wool coat', 'wool coats', 'tailor shop', 45],
  ['silk scarf', 'silk scarves', 'tailor shop', 14],
  ['postage stamp', 'postage stamps', 'post office', 1],
  ['picture postcard', 'picture postcards', 'post office', 2],
  ['book of sea stories', 'books of sea stories', 'bookshop', 10],
  ['map of the coast', 'maps of the coast', 'bookshop', 7],
  ['beeswax candle', 'beeswax candles', 'candle shop', 3],
  ['paper lamp', 'paper lamps', 'candle shop', 5],
  ['jar of honey', 'jars of honey', 'bee garden', 6],
  ['clay mug', 'clay mugs', 'pottery', 4],
  ['blue teapot', 'blue teapots', 'pottery', 13],
];

export const goods: readonly Good[] = rows.map(([name, plural, place, pennies]) => ({
  name,
  plural,
  article: /^[aeiou]/.test(name) ? 'an' : 'a',
  place,
  pennies,
}));

export interface Boat {
  readonly name: string;
  readonly owner: string;
  readonly colour: string;
  readonly carries: string;
  readonly built: number;
}

export const boats: readonly Boat[] = [
  { name: 'Silver Perch', owner: 'Peter Gull', colour: 'blue', carries: 'nets', built: 1871 },
  { name: 'Merry Otter', owner: 'Karl Holm', colour: 'red', carries: 'timber', built: 1893 },
  {
    name: 'Old Turnip',
    owner: 'Rosa Mead',
    colour: 'green',
    carries: 'milk and cheese',
    built: 1859,
  },
  {
    name: 'Northern Star',
    owner: 'Jonas Pike',
    colour: 'white',
    carries: 'the harbour pilot',
    built: 1884,
  },
  { name: 'Little Drum', owner: 'Nell Dray', colour: 'yellow', carries: 'musicians', built: 1908 },
  {
    name: 'Queen of Salt',
    owner: 'Greta Lund',
    colour: 'purple',
    carries: 'guests of the inn',
    built: 1867,
  },
  {
    name: 'Grey Feather',
    owner: 'Edda Morrow',
    colour: 'grey',
    carries: 'oil for the lamp',
    built: 1842,
  },
  { name: 'Apple Wind', owner: 'Ines Calloway', colour: 'orange', carries: 'fruit', built: 1899 },
];

export interface WeekEvent {
  /** "the spelling contest" */
  readonly name: string;
  readonly day: string;
  readonly time: string;
  readonly place: string;
  readonly leader: string;
}

export const weekEvents: readonly WeekEvent[] = [
  {
    name: 'the spelling contest',
    day: 'Monday',
    time: 'three',
    place: 'school',
    leader: 'Mabel Thorne',
  },
  { name: 'the chess evening', day: 'Tuesday', time: 'seven', place: 'inn', leader: 'Silas Wren' },
  {
    name: 'the choir practice',
    day: 'Wednesday',
    time: 'six',
    place: 'bell tower',
    leader: 'Otto Finch',
  },
  { name: 'the story hour', day: 'Thursday', time: 'four', place: 'library', leader: 'Theo Lark' },
  {
    name: 'the lantern walk',
    day: 'Friday',
    time: 'eight',
    place: 'lighthouse',
    leader: 'Edda Morrow',
  },
  { name: 'the barn dance', day: 'Saturday', time: 'nine', place: 'dairy', leader: 'Nell Dray' },
  { name: 'the boat race', day: 'Sunday', time: 'eleven', place: 'harbour', leader: 'Jonas Pike' },
  {
    name: 'the kite festival',
    day: 'Sunday',
    time: 'two',
    place: 'swimming bay',
    leader: 'Owen Pratt',
  },
  {
    name: 'the honey tasting',
    day: 'Saturday',
    time: 'ten',
    place: 'bee garden',
    leader: 'Arno Field',
  },
  {
    name: 'the pottery class',
    day: 'Wednesday',
    time: 'ten',
    place: 'pottery',
    leader: 'Sylvie Brand',
  },
  {
    name: 'the star evening',
    day: 'Friday',
    time: 'ten',
    place: 'clock shop',
    leader: 'Ivo Stern',
  },
  { name: 'the poetry tea', day: 'Tuesday', time: 'five', place: 'tea room', leader: 'Mina Dell' },
];
