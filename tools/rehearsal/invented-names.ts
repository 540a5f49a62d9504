// Names, words, numbers and times that mean nothing and are new each time: what a model must copy, because
// it cannot know them. They also make every piece of the vocabulary stand in the text.
import { capital } from './fact.ts';
import type { Random } from './random.ts';

const onsets = [
  'b',
  'br',
  'c',
  'ch',
  'd',
  'dr',
  'f',
  'fl',
  'g',
  'gl',
  'gr',
  'h',
  'j',
  'k',
  'kr',
  'l',
  'm',
  'n',
  'p',
  'pl',
  'qu',
  'r',
  's',
  'sh',
  'sk',
  'st',
  't',
  'th',
  'tr',
  'v',
  'w',
  'y',
  'z',
  'o',
  'a',
  'e',
  'u',
  'i',
];
const vowels = ['a', 'e', 'i', 'o', 'u', 'ee', 'oo', 'ai', 'ou', 'ea'];
const codas = [
  '',
  '',
  'n',
  'r',
  'l',
  's',
  'm',
  'th',
  'ck',
  'nd',
  'rt',
  'lm',
  'x',
  'ss',
  'll',
  'sh',
  'rk',
  'ng',
  'b',
  'd',
  'g',
  't',
  'p',
];

/** A pronounceable word of one or two syllables, seldom three. */
export function inventWord(random: Random): string {
  const syllables = random.chance(0.1) ? 3 : 1 + random.below(2);
  let word = '';
  for (let i = 0; i < syllables; i++)
    word += random.pick(onsets) + random.pick(vowels) + random.pick(codas);
  return word;
}

export const inventName = (random: Random): string => capital(inventWord(random));

const adjectives = [
  'Pale',
  'Bright',
  'Golden',
  'Silent',
  'Merry',
  'Old',
  'Brave',
  'Lucky',
  'Red',
  'Silver',
  'Proud',
  'Gentle',
  'Hollow',
  'Swift',
  'Winter',
  'Summer',
  'Iron',
  'Little',
  'Great',
  'Lost',
];
const nouns = [
  'Gannet',
  'Heron',
  'Fox',
  'Star',
  'Lantern',
  'Crown',
  'River',
  'Rose',
  'Bell',
  'Anchor',
  'Swan',
  'Badger',
  'Moon',
  'Arrow',
  'Stone',
  'Feather',
  'Harp',
  'Owl',
  'Key',
  'Maple',
  'Limpet',
  'Salmon',
  'Thistle',
  'Whale',
];

/** "Silver Badger" */
export const inventTitle = (random: Random): string =>
  `${random.pick(adjectives)} ${random.pick(nouns)}`;

const digits = (random: Random, count: number): string =>
  Array.from({ length: count }, () => random.below(10)).join('');

const small = [
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
];
const colours = [
  'red',
  'blue',
  'green',
  'yellow',
  'violet',
  'black',
  'white',
  'orange',
  'grey',
  'pink',
  'brown',
  'purple',
  'silver',
  'gold',
  'crimson',
  'turquoise',
];
const drinks = [
  'mint tea',
  'apple juice',
  'cocoa',
  'barley water',
  'black coffee',
  'pear cider',
  'lemonade',
  'hot milk',
  'nettle tea',
  'plum juice',
  'ginger beer',
];
const dishes = [
  'fish pie',
  'bean soup',
  'potato cakes',
  'eel stew',
  'pancakes',
  'rice pudding',
  'pea soup',
  'smoked trout',
  'noodles',
  'onion tart',
  'mussel soup',
];
const fuels = [
  'wood',
  'coal',
  'sunflower oil',
  'peat',
  'whale oil',
  'hydrogen',
  'pine tar',
  'electric current',
  'rape oil',
];
const animals = [
  'cat',
  'goat',
  'dog',
  'parrot',
  'goose',
  'monkey',
  'donkey',
  'otter',
  'tortoise',
  'hen',
  'seal',
  'pig',
];
const habits = [
  'whistling',
  'running',
  'singing',
  'smoking',
  'shouting',
  'fishing',
  'spitting',
  'feeding the birds',
  'dancing',
  'sleeping',
  'knitting',
];
const feasts = [
  'the Feast of Ropes',
  'Lantern Night',
  'the Salt Fair',
  'Oar Day',
  'the Herring Ball',
  'Kite Sunday',
  'the Night of Bells',
  'Barrel Day',
  'the Great Supper',
];
const mottoes = [
  'slow but dry',
  'always home by dark',
  'never without soup',
  'we wait for you',
  'rain or shine',
  'first come, first fed',
  'steady as stone',
  'nobody left behind',
];
const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const nights = [
  'the night of the full moon',
  'the first night of the month',
  'the last night of the month',
  'the longest night of the year',
  'the night of the new moon',
];
const spots = [
  'in the red hut',
  'in the cellar',
  'at the ticket office',
  'behind the boiler',
  'in the old lighthouse',
  'at the town hall',
  'in a chest under the stairs',
  'at the night desk',
  'in the customs house',
];

/** Kinds of values, each made anew. */
export const values = {
  person: (random) => `${inventName(random)} ${inventName(random)}`,
  name: inventName,
  title: inventTitle,
  word: inventWord,
  place: (random) =>
    `${inventName(random)} ${random.pick(['Quay', 'Street', 'Square', 'Hill', 'Bridge', 'Gate', 'Harbour', 'Lane'])}`,
  year: (random) => `1${6 + random.below(4)}${digits(random, 2)}`,
  clock: (random) => `${5 + random.below(18)}:${random.below(6)}${random.below(10)}`,
  minutes: (random) => `${5 + random.below(90)} minutes`,
  number: (random) => String(2 + random.below(random.chance(0.5) ? 20 : 400)),
  smallNumber: (random) => random.pick(small),
  phone: (random) => `${digits(random, 3)} ${digits(random, 4)}`,
  colour: (random) => random.pick(colours),
  drink: (random) => random.pick(drinks),
  dish: (random) => random.pick(dishes),
  fuel: (random) => random.pick(fuels),
  animal: (random) => random.pick(animals),
  habit: (random) => random.pick(habits),
  feast: (random) => random.pick(feasts),
  motto: (random) => random.pick(mottoes),
  day: (random) => random.pick(days),
  night: (random) => random.pick(nights),
  spot: (random) => random.pick(spots),
  card: (random) => `the ${random.pick(nouns)} ${random.pick(['Card', 'Pass', 'Ticket'])}`,
} as const satisfies Record<string, (random: Random) => string>;
