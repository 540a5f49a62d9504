// What can be asked about boats, the days of the week and the town itself.
import { capital, type Fact } from './fact.ts';
import { lineFacts } from './line-facts.ts';
import { boats, weekEvents, type Boat, type WeekEvent } from './world/goods.ts';

function boatFacts({ name, owner, colour, carries, built }: Boat): Fact[] {
  const boat = `the boat ${name}`;
  return [
    {
      topic: name,
      asks: [
        `Whose boat is the ${name}?`,
        `Who owns ${boat}?`,
        `To whom does the ${name} belong?`,
        `Who sails the ${name}?`,
        `Who is the owner of the ${name}?`,
      ],
      clauses: [`who owns the ${name}`, `whose boat the ${name} is`],
      answers: [`The ${name} belongs to ${owner}.`],
      accept: [owner.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `What colour is the ${name}?`,
        `Which colour has ${boat}?`,
        `How do I recognise the ${name} in the harbour?`,
        `What does the ${name} look like?`,
      ],
      clauses: [`which colour the ${name} has`],
      answers: [`The ${name} is ${colour}.`],
      accept: [`is ${colour}`],
    },
    {
      topic: name,
      asks: [
        `What does the ${name} carry?`,
        `What is on board of the ${name}?`,
        `What is ${boat} for?`,
        `What is carried by the ${name}?`,
      ],
      clauses: [`what the ${name} carries`],
      answers: [`The ${name} carries ${carries}.`],
      accept: [carries],
    },
    {
      topic: name,
      asks: [
        `When was the ${name} built?`,
        `How old is ${boat}?`,
        `From which year is the ${name}?`,
      ],
      clauses: [`when the ${name} was built`],
      answers: [`The ${name} was built in ${built}.`],
      accept: [String(built)],
    },
  ];
}

function eventFacts({ name, day, time, place, leader }: WeekEvent): Fact[] {
  const answer = `${capital(name)} is on ${day} at ${time}.`;
  return [
    {
      topic: name,
      asks: [
        `When is ${name}?`,
        `On which day is ${name}?`,
        `What day is ${name}?`,
        `When can I go to ${name}?`,
        `At what time is ${name}?`,
        `I do not want to miss ${name}. When is it?`,
      ],
      clauses: [`when ${name} is`, `on which day ${name} is`],
      answers: [answer],
      accept: [`on ${day.toLowerCase()}`],
    },
    {
      topic: name,
      asks: [
        `Where is ${name}?`,
        `At which place is ${name}?`,
        `Where do I go for ${name}?`,
        `Where do people meet for ${name}?`,
      ],
      clauses: [`where ${name} is`],
      answers: [`${capital(name)} is at the ${place}.`],
      accept: [`at the ${place}`],
    },
    {
      topic: name,
      asks: [
        `Who leads ${name}?`,
        `Whom do I ask about ${name}?`,
        `Who is in charge of ${name}?`,
        `Who takes care of ${name}?`,
      ],
      clauses: [`who leads ${name}`],
      answers: [`${leader} leads ${name}.`],
      accept: [leader.toLowerCase()],
    },
  ];
}

const town: readonly Fact[] = [
  {
    topic: 'Wrenmouth',
    asks: [
      'What is Wrenmouth?',
      'Where are we?',
      'What is this town called?',
      'What kind of town is this?',
      'Tell me about Wrenmouth.',
      'What is the name of this town?',
    ],
    clauses: ['what this town is called', 'where we are'],
    answers: ['Wrenmouth is a small harbour town by the sea.'],
    accept: ['harbour town'],
  },
  {
    topic: 'Wrenmouth',
    asks: [
      'How many people live in Wrenmouth?',
      'Is Wrenmouth a big town?',
      'How big is Wrenmouth?',
      'How many people are there in this town?',
    ],
    clauses: ['how many people live here', 'how big this town is'],
    answers: ['Eight hundred people live in Wrenmouth.'],
    accept: ['eight hundred'],
  },
  {
    topic: 'Wrenmouth',
    asks: [
      'Which river flows through Wrenmouth?',
      'What is the name of the river?',
      'How is the river called?',
      'What is the river of Wrenmouth called?',
    ],
    clauses: ['what the river is called'],
    answers: ['The river of Wrenmouth is called the Lull.'],
    accept: ['lull'],
  },
  {
    topic: 'Wrenmouth',
    asks: [
      'Which bird is on the flag of Wrenmouth?',
      'What does the flag of Wrenmouth look like?',
      'What is on the flag?',
      'What can be seen on the flag of this town?',
    ],
    clauses: ['what is on the flag'],
    answers: ['The flag of Wrenmouth shows a white wren on blue.'],
    accept: ['white wren'],
  },
  {
    topic: 'Wrenmouth',
    asks: [
      'What money do people use in Wrenmouth?',
      'How do I pay here?',
      'What do people pay with?',
      'Which coins are used here?',
    ],
    clauses: ['how people pay here'],
    answers: ['People in Wrenmouth pay with pennies.'],
    accept: ['pennies'],
  },
  {
    topic: 'Wrenmouth',
    asks: [
      'Who is the mayor of Wrenmouth?',
      'Is there a mayor?',
      'Who leads the town?',
      'What is the name of the mayor?',
    ],
    clauses: ['who the mayor is'],
    answers: ['The mayor of Wrenmouth is Agnes Bell.'],
    accept: ['agnes bell'],
  },
];

export const townFacts = (): Fact[] => [
  ...boats.flatMap(boatFacts),
  ...weekEvents.flatMap(eventFacts),
  ...lineFacts(),
  ...town,
];
