// How one leaves Wrenmouth: the mail coach and the little train, with all that a traveller asks about.

export interface Line {
  /** "the mail coach" */
  readonly name: string;
  /** Facts of the line: topic → value. */
  readonly first: string;
  readonly last: string;
  readonly minutes: string;
  readonly goesTo: string;
  readonly adult: number;
  readonly child: number;
  readonly dog: number;
  readonly bicycle: number;
  readonly luggage: string;
  readonly card: string;
  readonly office: string;
  readonly founder: string;
  readonly year: number;
  readonly mascot: string;
  readonly colour: string;
  readonly lostThings: string;
  readonly drink: string;
  readonly seats: string;
}

export const lines: readonly Line[] = [
  {
    name: 'the mail coach',
    first: 'half past six',
    last: 'seven in the evening',
    minutes: 'fifty minutes',
    goesTo: 'Alder Cross',
    adult: 10,
    child: 4,
    dog: 2,
    bicycle: 3,
    luggage: 'two bags',
    card: 'the Hoof Card',
    office: 'the coach yard',
    founder: 'Jasper Vale',
    year: 1777,
    mascot: 'a wooden hare called Swift',
    colour: 'dark red',
    lostThings: 'at the inn',
    drink: 'hot cider',
    seats: 'twelve',
  },
  {
    name: 'the little train',
    first: 'a quarter past five',
    last: 'half past nine in the evening',
    minutes: 'twenty minutes',
    goesTo: 'Stonebridge',
    adult: 7,
    child: 3,
    dog: 1,
    bicycle: 2,
    luggage: 'three bags',
    card: 'the Whistle Pass',
    office: 'the station',
    founder: 'Beatrice Hume',
    year: 1879,
    mascot: 'a brass mole called Digby',
    colour: 'bottle green',
    lostThings: 'at the post office',
    drink: 'mint tea',
    seats: 'sixty',
  },
  {
    name: 'the river barge',
    first: 'nine in the morning',
    last: 'four in the afternoon',
    minutes: 'two hours',
    goesTo: 'Fernwick Lock',
    adult: 5,
    child: 2,
    dog: 1,
    bicycle: 4,
    luggage: 'one chest',
    card: 'the Reed Ticket',
    office: 'the boatyard',
    founder: 'Old Nan Tiller',
    year: 1803,
    mascot: 'a stuffed heron called Duke',
    colour: 'sky blue',
    lostThings: 'at the museum',
    drink: 'elderflower water',
    seats: 'thirty',
  },
];
