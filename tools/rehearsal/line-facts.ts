// What a traveller can ask about the mail coach, the little train and the river barge.
import { capital, type Fact } from './fact.ts';
import { lines, type Line } from './world/journeys.ts';

const pennies = (count: number): string => (count === 1 ? '1 penny' : `${count} pennies`);

/** Question patterns about a line, each with its answer; "$" is the name of the line. */
function lineTable(
  line: Line,
): { asks: string[]; clauses: string[]; answer: string; accept: string }[] {
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
      clauses: ['when $ leaves in the morning', 'when $ first leaves'],
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
      clauses: ['when $ leaves for the last time'],
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
      clauses: ['how long $ takes'],
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
      clauses: ['where $ goes'],
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
      clauses: ['what a ticket for $ costs'],
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
      clauses: ['what a child pays for $'],
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
      clauses: ['what my dog costs on $'],
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
      clauses: ['what my bicycle costs on $'],
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
      clauses: ['how much luggage I may take on $'],
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
      clauses: ['how the card for $ is called'],
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
      clauses: ['where the office of $ is'],
      answer: `The office of ${line.name} is at ${line.office}.`,
      accept: line.office,
    },
    {
      asks: ['Who founded $?', 'Who started $?', 'Whose idea was $?', 'Who began $?'],
      clauses: ['who founded $'],
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
      clauses: ['when $ was founded'],
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
      clauses: ['what the mascot of $ is'],
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
      clauses: ['which colour $ has'],
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
      clauses: ['where lost things from $ are kept'],
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
      clauses: ['what I can drink on $'],
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
      clauses: ['how many seats $ has'],
      answer: `${capital(line.name)} has ${line.seats} seats.`,
      accept: `${line.seats} seats`,
    },
  ];
}

const factsOf = (line: Line): Fact[] =>
  lineTable(line).map(({ asks, clauses, answer, accept }) => ({
    topic: line.name,
    asks: asks.map((ask) => ask.replace('$', line.name)),
    clauses: clauses.map((clause) => clause.replace('$', line.name)),
    answers: [answer],
    accept: [accept.toLowerCase()],
  }));

export const lineFacts = (): Fact[] => lines.flatMap(factsOf);
