// What can be asked about a place of Wrenmouth, and about what is sold there.
import { capital, type Fact } from './fact.ts';
import { goods, type Good } from './world/goods.ts';
import { people } from './world/people.ts';
import { places, type Place } from './world/places.ts';

const pennies = (count: number): string => (count === 1 ? '1 penny' : `${count} pennies`);

function hourFacts({ name, opens, closes, closedOn }: Place): Fact[] {
  return [
    {
      topic: name,
      asks: [
        `When does the ${name} open?`,
        `At what time does the ${name} open?`,
        `From what time is the ${name} open?`,
        `I get up early. When does the ${name} open?`,
        `How early can I go to the ${name}?`,
        `What are the opening hours of the ${name}?`,
        `Tell me when the ${name} opens.`,
      ],
      clauses: [`when the ${name} opens`, `at what time the ${name} opens`],
      answers: [`The ${name} opens at ${opens} and closes at ${closes}.`],
      accept: [`opens at ${opens}`],
    },
    {
      topic: name,
      asks: [
        `When does the ${name} close?`,
        `Until when is the ${name} open?`,
        `At what time does the ${name} close?`,
        `It is late. When does the ${name} close?`,
        `How long is the ${name} open?`,
        `What time does the ${name} shut?`,
      ],
      clauses: [`when the ${name} closes`, `how long the ${name} is open`],
      answers: [`The ${name} closes at ${closes}.`],
      accept: [`closes at ${closes}`],
    },
    {
      topic: name,
      asks: [
        `On which day is the ${name} closed?`,
        `Is the ${name} open every day?`,
        `When is the ${name} not open?`,
        `Which day of the week is the ${name} closed?`,
        `Can I visit the ${name} on any day?`,
      ],
      clauses: [`when the ${name} is closed`, `on which day the ${name} is closed`],
      answers: [`The ${name} is closed on ${closedOn}.`],
      accept: [`closed on ${closedOn.toLowerCase()}`],
    },
  ];
}

function looksFacts({ name, where, built, door, curiosity }: Place): Fact[] {
  return [
    {
      topic: name,
      asks: [
        `Where is the ${name}?`,
        `Where can I find the ${name}?`,
        `How do I get to the ${name}?`,
        `Can you tell me where the ${name} is?`,
        `I am looking for the ${name}.`,
        `Where does one find the ${name}?`,
        `Excuse me, which way is the ${name}?`,
        `I cannot find the ${name}. Where is it?`,
      ],
      clauses: [`where the ${name} is`, `how I get to the ${name}`],
      answers: [`The ${name} is ${where}.`],
      accept: [where.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `How old is the ${name}?`,
        `When was the ${name} built?`,
        `In which year was the ${name} built?`,
        `From which year is the ${name}?`,
        `Since when is there a ${name}?`
          .replace(' a inn', ' an inn')
          .replace(' a orch', ' an orch'),
      ],
      clauses: [`how old the ${name} is`, `when the ${name} was built`],
      answers: [`The ${name} was built in ${built}.`],
      accept: [String(built)],
    },
    {
      topic: name,
      asks: [
        `Which colour is the door of the ${name}?`,
        `What colour is the door of the ${name}?`,
        `How do I recognise the ${name}?`,
        `What does the door of the ${name} look like?`,
      ],
      clauses: [`which colour the door of the ${name} has`],
      answers: [`The ${name} has a ${door} door.`.replace(' a orange', ' an orange')],
      accept: [`${door} door`],
    },
    {
      topic: name,
      asks: [
        `What is special about the ${name}?`,
        `Why is the ${name} famous?`,
        `What is the ${name} known for?`,
        `Tell me something about the ${name}.`,
        `Is there anything unusual about the ${name}?`,
        `What should I know about the ${name}?`,
      ],
      clauses: [`what is special about the ${name}`, `what the ${name} is known for`],
      answers: [`The ${name} ${curiosity}.`],
      accept: [curiosity.toLowerCase()],
    },
  ];
}

function peopleFacts({ name }: Place): Fact[] {
  const staff = people.filter(({ place }) => place === name).map((person) => person.name);
  if (staff.length === 0) return [];
  return [
    {
      topic: name,
      asks: [
        `Who works at the ${name}?`,
        `Whom will I meet at the ${name}?`,
        `Who can help me at the ${name}?`,
        `Who is at the ${name}?`,
        `Whom should I ask at the ${name}?`,
      ],
      clauses: [`who works at the ${name}`],
      answers: [`${staff.join(' and ')} ${staff.length > 1 ? 'work' : 'works'} at the ${name}.`],
      accept: staff.map((person) => person.toLowerCase()),
    },
  ];
}

function goodFacts({ name, article, plural, place, pennies: price }: Good): Fact[] {
  const one = `${article} ${name}`;
  return [
    {
      topic: place,
      asks: [
        `How much is ${one}?`,
        `What does ${one} cost?`,
        `What is the price of ${one}?`,
        `How many pennies do I pay for ${one}?`,
        `I would like ${one}. How much is it?`,
        `How much do you pay for ${one}?`,
        `What would ${one} cost me?`,
      ],
      clauses: [`how much ${one} is`, `what ${one} costs`],
      answers: [`${capital(one)} costs ${pennies(price)}.`],
      accept: [pennies(price)],
    },
    {
      topic: place,
      asks: [
        `Where can I buy ${one}?`,
        `Where do they sell ${plural}?`,
        `Who sells ${plural}?`,
        `I need ${one}. Where do I get it?`,
        `In which shop do I find ${plural}?`,
        `Where would I get ${one}?`,
      ],
      clauses: [`where I can buy ${one}`, `who sells ${plural}`],
      answers: [`You can buy ${one} at the ${place}.`],
      accept: [`at the ${place}`],
    },
  ];
}

const numbers = ['', '', 'two', 'three', 'four', 'five'];

/** Two to five pieces of a cheap good: a little arithmetic. */
function sumFacts({ plural, place, pennies: price }: Good): Fact[] {
  if (price > 12) return [];
  return [2, 3, 4, 5].map((count) => ({
    topic: place,
    asks: [
      `How much are ${numbers[count]} ${plural}?`,
      `What do ${numbers[count]} ${plural} cost?`,
      `What is the price of ${numbers[count]} ${plural}?`,
      `I would like ${numbers[count]} ${plural}. How much is that?`,
    ],
    clauses: [`what ${numbers[count]} ${plural} cost`],
    answers: [`${capital(numbers[count] ?? '')} ${plural} cost ${pennies(count * price)}.`],
    accept: [pennies(count * price)],
  }));
}

export const placeFacts = (): Fact[] => [
  ...places.flatMap((place) => [...hourFacts(place), ...looksFacts(place), ...peopleFacts(place)]),
  ...goods.flatMap((good) => [...goodFacts(good), ...sumFacts(good)]),
];
