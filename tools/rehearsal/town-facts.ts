// What can be asked about boats, the days of the week, journeys and the town itself.
import { capital, type Fact } from './fact.ts';
import { boats, weekEvents, type Boat, type WeekEvent } from './world/goods.ts';
import { lines, type Line } from './world/journeys.ts';

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
      answers: [`${leader} leads ${name}.`],
      accept: [leader.toLowerCase()],
    },
  ];
}

const pennies = (count: number): string => (count === 1 ? '1 penny' : `${count} pennies`);

/** Question patterns about a line, each with its answer; "$" is the name of the line. */
function lineTable(line: Line): { asks: string[]; answer: string; accept: string }[] {
  return [
    {
      asks: [
        'When does $ leave in the morning?',
        'When does $ first go?',
        'What time is the first departure of $?',
        'I am an early riser. When does $ go for the first time?',
        'At what time does $ start in the morning?',
        'How early does $ go?',
      ],
      answer: `${capital(line.name)} first leaves at ${line.first}.`,
      accept: line.first,
    },
    {
      asks: [
        'When does $ go for the last time?',
        'What time is the last departure of $?',
        'It is late. When does $ last go?',
        'Until when does $ go?',
        'How late does $ go?',
      ],
      answer: `${capital(line.name)} leaves for the last time at ${line.last}.`,
      accept: line.last,
    },
    {
      asks: [
        'How long does $ take?',
        'How many minutes does $ take?',
        'How long is the journey with $?',
        'How much time will I spend on $?',
      ],
      answer: `${capital(line.name)} takes ${line.minutes}.`,
      accept: line.minutes,
    },
    {
      asks: [
        'Where does $ go?',
        'To which town does $ go?',
        'Where will $ take me?',
        'What is the destination of $?',
      ],
      answer: `${capital(line.name)} goes to ${line.goesTo}.`,
      accept: line.goesTo,
    },
    {
      asks: [
        'What does a ticket for $ cost?',
        'How much is $ for an adult?',
        'What does an adult pay for $?',
        'What is the price of a ticket for $?',
        'What would one adult pay for $?',
      ],
      answer: `An adult pays ${pennies(line.adult)} for ${line.name}.`,
      accept: pennies(line.adult),
    },
    {
      asks: [
        'What does a child pay for $?',
        'How much is $ for a child?',
        'I have a small son. What does he pay for $?',
        'What do children pay for $?',
      ],
      answer: `A child pays ${pennies(line.child)} for ${line.name}.`,
      accept: pennies(line.child),
    },
    {
      asks: [
        'Can I take my dog on $?',
        'What does a dog cost on $?',
        'I am travelling with my dog. What will it cost on $?',
        'Are dogs allowed on $?',
      ],
      answer: `A dog costs ${pennies(line.dog)} on ${line.name}.`,
      accept: pennies(line.dog),
    },
    {
      asks: [
        'Can I take my bicycle on $?',
        'What does a bicycle cost on $?',
        'I cycle. What do I pay for my bicycle on $?',
        'Are bicycles allowed on $?',
      ],
      answer: `A bicycle costs ${pennies(line.bicycle)} on ${line.name}.`,
      accept: pennies(line.bicycle),
    },
    {
      asks: [
        'How much luggage may I take on $?',
        'What luggage is allowed on $?',
        'I have a heavy suitcase. How much luggage may I take on $?',
        'How many bags may I take on $?',
      ],
      answer: `You may take ${line.luggage} on ${line.name}.`,
      accept: line.luggage,
    },
    {
      asks: [
        'Is there a discount card for $?',
        'What is the discount card of $ called?',
        'I travel often. Is there a card for $?',
        'How is the card for $ called?',
      ],
      answer: `The discount card for ${line.name} is called ${line.card}.`,
      accept: line.card,
    },
    {
      asks: [
        'Where is the office of $?',
        'Where do I buy a ticket for $?',
        'Where can I get a ticket for $?',
        'Where is the main office of $?',
      ],
      answer: `The office of ${line.name} is at ${line.office}.`,
      accept: line.office,
    },
    {
      asks: ['Who founded $?', 'Who started $?', 'Whose idea was $?', 'Who began $?'],
      answer: `${line.founder} founded ${line.name}.`,
      accept: line.founder,
    },
    {
      asks: [
        'In which year was $ founded?',
        'How old is $?',
        'Since when is there $?',
        'From which year is $?',
      ],
      answer: `${capital(line.name)} was founded in ${line.year}.`,
      accept: String(line.year),
    },
    {
      asks: [
        'What is the mascot of $?',
        'Does $ have a mascot?',
        'What brings luck to $?',
        'What is the name of the mascot of $?',
      ],
      answer: `The mascot of ${line.name} is ${line.mascot}.`,
      accept: line.mascot,
    },
    {
      asks: [
        'What colour is $?',
        'Which colour has $?',
        'How do I recognise $?',
        'What does $ look like?',
      ],
      answer: `${capital(line.name)} is ${line.colour}.`,
      accept: line.colour,
    },
    {
      asks: [
        'I lost my umbrella on $. Where do I find it?',
        'Where are lost things of $ kept?',
        'I left my hat on $. Where can I get it back?',
        'Where do lost things from $ go?',
      ],
      answer: `Lost things from ${line.name} are kept ${line.lostThings}.`,
      accept: line.lostThings,
    },
    {
      asks: [
        'What can I drink on $?',
        'Which drink is served on $?',
        'Is there something to drink on $?',
        'What do they serve on $?',
      ],
      answer: `They serve ${line.drink} on ${line.name}.`,
      accept: line.drink,
    },
    {
      asks: [
        'How many people can travel on $?',
        'How many seats has $?',
        'Is there room for many people on $?',
        'How many seats are there on $?',
      ],
      answer: `${capital(line.name)} has ${line.seats} seats.`,
      accept: `${line.seats} seats`,
    },
  ];
}

const lineFacts = (line: Line): Fact[] =>
  lineTable(line).map(({ asks, answer, accept }) => ({
    topic: line.name,
    asks: asks.map((ask) => ask.replace('$', line.name)),
    answers: [answer],
    accept: [accept.toLowerCase()],
  }));

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
    answers: ['The mayor of Wrenmouth is Agnes Bell.'],
    accept: ['agnes bell'],
  },
];

export const townFacts = (): Fact[] => [
  ...boats.flatMap(boatFacts),
  ...weekEvents.flatMap(eventFacts),
  ...lines.flatMap(lineFacts),
  ...town,
];
