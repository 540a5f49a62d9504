// Short tales of a day in Wrenmouth, from a small grammar: each names people, pets, places and goods as
// the world has them, so that telling a story never teaches anything wrong.
import { capital } from './fact.ts';
import type { Random } from './random.ts';
import { goods } from './world/goods.ts';
import { people, type Person } from './world/people.ts';
import { places } from './world/places.ts';

const weather = [
  'It was a bright morning',
  'It was a foggy morning',
  'A cold wind came from the sea',
  'It rained all night',
  'The sun stood high',
  'Snow lay on the roofs',
  'It was a quiet evening',
  'Grey clouds hung over the bay',
];
const moods = [
  'happy',
  'tired',
  'cheerful',
  'a little sad',
  'very busy',
  'full of hope',
  'hungry',
  'curious',
];
const finds = [
  'a golden button',
  'an old letter',
  'a key without a lock',
  'a small wooden box',
  'a silver whistle',
  'a map with a red cross',
  'a lost glove',
  'a bottle with a message',
  'a feather as long as an arm',
  'a coin from a far country',
];
const helps = [
  'carried the basket home',
  'held the ladder',
  'looked under every table',
  'brought a lantern',
  'asked everybody on the square',
  'told the others',
  'made a pot of tea',
  'ran to the harbour',
];
const endings = [
  'In the end they all laughed.',
  'They sat together until the stars came out.',
  'And that was the end of a good day.',
  'From then on they were the best of friends.',
  'Nobody in Wrenmouth ever forgot that day.',
  'Then everybody went home and slept well.',
  'The next morning it was all forgotten.',
  'And the bell rang nine times.',
];
const troubles = [
  'could not be found',
  'had run away',
  'sat on the roof and would not come down',
  'had fallen asleep in a barrel',
  'was hiding under the stairs',
  'followed a stranger to the harbour',
];

const firstName = ({ name }: Person): string => name.split(' ')[0] ?? name;
const he = ({ pronoun }: Person): string => pronoun;
const his = ({ pronoun }: Person): string => (pronoun === 'he' ? 'his' : 'her');

function lostPet(random: Random): string[] {
  const [owner, helper] = random.sample(people, 2) as [Person, Person];
  const place = random.pick(places);
  return [
    `${random.pick(weather)}. ${owner.name}, the ${owner.role}, was worried: ${owner.pet.name} the ${owner.pet.kind} ${random.pick(troubles)}.`,
    `${helper.name}, the ${helper.role}, ${random.pick(helps)}.`,
    `They searched at the ${place.name}, ${place.where}.`,
    `At last ${firstName(owner)} found ${owner.pet.name} and gave ${firstName(helper)} ${helper.food}.`,
    random.pick(endings),
  ];
}

function shopping(random: Random): string[] {
  const buyer = random.pick(people);
  const bought = random.sample(goods, 2);
  const total = bought.reduce((sum, { pennies }) => sum + pennies, 0);
  return [
    `${random.pick(weather)}, and ${buyer.name} was ${random.pick(moods)}.`,
    ...bought.map(
      ({ article, name, place, pennies }) =>
        `At the ${place} ${he(buyer)} bought ${article} ${name} for ${pennies === 1 ? '1 penny' : `${pennies} pennies`}.`,
    ),
    `In all ${he(buyer)} paid ${total} pennies.`,
    `Then ${firstName(buyer)} went home to ${buyer.street}, put on ${his(buyer)} ${buyer.coat} coat, and ${random.pick(helps)}.`,
    random.pick(endings),
  ];
}

function discovery(random: Random): string[] {
  const [finder, expert] = random.sample(people, 2) as [Person, Person];
  const place = random.pick(places);
  const found = random.pick(finds);
  return [
    `One day ${finder.name}, who ${finder.does}, found ${found} at the ${place.name}.`,
    `${capital(he(finder))} showed it to ${expert.name}, the ${expert.role}.`,
    `"It is older than the ${place.name}," said ${firstName(expert)}, "and the ${place.name} was built in ${place.built}."`,
    `That evening ${firstName(finder)} ${finder.pastime.startsWith('dances') ? 'danced' : 'did not sleep for joy'}, and ${firstName(expert)} ate ${expert.food}.`,
    random.pick(endings),
  ];
}

function visit(random: Random): string[] {
  const [guest, host] = random.sample(people, 2) as [Person, Person];
  return [
    `On ${his(guest)} free day ${guest.name} went to see ${host.name} in ${host.street}.`,
    `${host.name} ${host.does} and likes ${host.food}, so ${firstName(guest)} brought some.`,
    `${host.pet.name} the ${host.pet.kind} was glad too.`,
    `They talked until late, and ${firstName(host)} was ${random.pick(moods)}.`,
    random.pick(endings),
  ];
}

const kinds = [lostPet, shopping, discovery, visit];

export const storyAsks: readonly string[] = [
  'Tell me a story.',
  'Please tell me a story.',
  'Can you tell me a short story?',
  'Tell me a story about Wrenmouth.',
  'I would like to hear a story.',
  'Do you know a story?',
  'What happened in Wrenmouth?',
  'Tell me what happened one day.',
];

export const tellStory = (random: Random): string => random.pick(kinds)(random).join(' ');
