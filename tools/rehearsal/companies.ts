// Chats in which the facts stand in the conversation itself: an invented company is described, then asked
// about. They teach reading and copying, which is what tuning on new facts builds on; no company comes twice.
import { capital } from './fact.ts';
import { inventName, inventTitle, values } from './invented-names.ts';
import type { Random } from './random.ts';

/** "$" is the company, "@" the value, "&" its coin. */
interface Attribute {
  readonly value: keyof typeof values;
  readonly statement: string;
  readonly asks: readonly string[];
}

const attributes: readonly Attribute[] = [
  {
    value: 'person',
    statement: '$ was founded by @.',
    asks: ['Who founded $?', 'Who started $?', 'Whose idea was $?', 'Who is the founder?'],
  },
  {
    value: 'year',
    statement: '$ was founded in @.',
    asks: [
      'When was $ founded?',
      'In which year did $ begin?',
      'How old is $?',
      'From which year is the company?',
    ],
  },
  {
    value: 'place',
    statement: 'The head office of $ is at @.',
    asks: [
      'Where is the head office?',
      'Where is the main office of $?',
      'Where do I find the office?',
      'What is the address of the company?',
    ],
  },
  {
    value: 'title',
    statement: 'The flagship of $ is called the @.',
    asks: [
      'What is the flagship called?',
      'What is the name of the flagship?',
      'Which ship is the flagship of $?',
      'Could you name the flagship?',
    ],
  },
  {
    value: 'name',
    statement: 'The captain of $ is called @.',
    asks: [
      'Who is the captain?',
      'What is the name of the captain?',
      'How is the captain called?',
      'Who commands the ship?',
    ],
  },
  {
    value: 'word',
    statement: 'A ticket of $ is called a @.',
    asks: [
      'What is a ticket called?',
      'Which word do they use for a ticket?',
      'What do people call the tickets of $?',
    ],
  },
  {
    value: 'number',
    statement: 'An adult pays @ & for a crossing.',
    asks: [
      'What does an adult pay?',
      'How much is a crossing for an adult?',
      'What does a ticket cost?',
      'What is the fare?',
    ],
  },
  {
    value: 'number',
    statement: 'A child pays @ &.',
    asks: [
      'What does a child pay?',
      'How much is it for a child?',
      'What do I pay for my daughter?',
    ],
  },
  {
    value: 'number',
    statement: 'A dog costs @ &.',
    asks: [
      'What does a dog cost?',
      'Can I bring my dog, and for how much?',
      'I am travelling with my dog. What will it cost?',
    ],
  },
  {
    value: 'number',
    statement: 'A bicycle costs @ &.',
    asks: [
      'What does a bicycle cost?',
      'How much do you charge for a bicycle?',
      'I cycle. What do I pay for my bicycle?',
    ],
  },
  {
    value: 'clock',
    statement: 'The first departure is at @.',
    asks: [
      'When is the first departure?',
      'What time does the first one leave in the morning?',
      'I am an early riser. When does the first boat go?',
    ],
  },
  {
    value: 'clock',
    statement: 'The last departure is at @.',
    asks: [
      'When is the last departure?',
      'What time does the last one leave in the evening?',
      'It is late. When does the final boat go?',
    ],
  },
  {
    value: 'clock',
    statement: 'The ticket office closes at @.',
    asks: [
      'When does the ticket office close?',
      'Until when is the ticket office open?',
      'At what hour does the ticket office shut?',
    ],
  },
  {
    value: 'minutes',
    statement: 'The crossing takes @.',
    asks: [
      'How long does the crossing take?',
      'How much time does it take?',
      'How many minutes does it take to cross?',
    ],
  },
  {
    value: 'number',
    statement: 'Luggage may weigh up to @ kilograms.',
    asks: [
      'How heavy may my luggage be?',
      'How many kilograms of luggage are allowed?',
      'My suitcase is heavy. Up to what weight may I take it?',
    ],
  },
  {
    value: 'spot',
    statement: 'Lost things are kept @.',
    asks: [
      'Where are lost things kept?',
      'I lost my umbrella. Where do I look?',
      'I left my hat behind. Where do you keep lost things?',
    ],
  },
  {
    value: 'colour',
    statement: 'The flag of $ is @.',
    asks: [
      'What colour is the flag?',
      'Which colour does the flag have?',
      'Of what colour is the flag?',
    ],
  },
  {
    value: 'colour',
    statement: 'The hulls are painted @.',
    asks: [
      'What colour are the hulls?',
      'In what colour are the hulls painted?',
      'How are the hulls painted?',
    ],
  },
  {
    value: 'dish',
    statement: 'The galley serves @.',
    asks: [
      'What does the galley serve?',
      'What can I eat on board?',
      'I am hungry. What do they cook on board?',
    ],
  },
  {
    value: 'drink',
    statement: 'Passengers get free @.',
    asks: [
      'Which drink is free?',
      'What can I drink for nothing?',
      'What free drink do passengers get?',
    ],
  },
  {
    value: 'name',
    statement: 'The cat on board is called @.',
    asks: [
      'What is the cat called?',
      'How do you call the cat?',
      'What is the name of the cat on board?',
    ],
  },
  {
    value: 'animal',
    statement: 'The mascot of $ is a @.',
    asks: ['What is the mascot?', 'Which animal is the mascot?', 'Which animal brings luck to $?'],
  },
  {
    value: 'day',
    statement: '$ is closed on @.',
    asks: ['On which day is it closed?', 'When is $ closed?', 'On which day does nobody work?'],
  },
  {
    value: 'night',
    statement: 'Nothing sails on @.',
    asks: [
      'When does nothing sail?',
      'On which night does nothing sail?',
      'Is there a night without boats?',
    ],
  },
  {
    value: 'card',
    statement: 'The discount card is called @.',
    asks: [
      'What is the discount card called?',
      'Which card makes it cheaper?',
      'I travel often. Is there a card for me?',
    ],
  },
  {
    value: 'phone',
    statement: 'The telephone number is @.',
    asks: ['What is the telephone number?', 'Which number should I ring?', 'How can I call $?'],
  },
  {
    value: 'number',
    statement: 'The boat makes @ knots.',
    asks: [
      'How fast is the boat?',
      'How many knots does the boat make?',
      'What speed does the boat make?',
    ],
  },
  {
    value: 'fuel',
    statement: 'The engines burn @.',
    asks: [
      'What do the engines burn?',
      'Which fuel do the engines use?',
      'What is the fuel of the boat?',
    ],
  },
  {
    value: 'habit',
    statement: 'On deck @ is forbidden.',
    asks: ['What is forbidden on deck?', 'What may I not do on deck?', 'Which habit is forbidden?'],
  },
  {
    value: 'number',
    statement: 'The boat has @ seats.',
    asks: [
      'How many seats are there?',
      'How many people can sit on the boat?',
      'How many seats does the boat have?',
    ],
  },
  {
    value: 'feast',
    statement: 'Each year $ celebrates @.',
    asks: [
      'Which feast does $ celebrate?',
      'What does the company celebrate each year?',
      'Which feast do they have?',
    ],
  },
  {
    value: 'motto',
    statement: 'The motto of $ is "@".',
    asks: ['What is the motto?', 'Which words stand over the door?', 'What is the motto of $?'],
  },
  {
    value: 'smallNumber',
    statement: '$ has @ boats.',
    asks: ['How many boats does $ have?', 'How many boats are there?', 'How big is the fleet?'],
  },
  {
    value: 'title',
    statement: 'The inn of $ is called the @.',
    asks: ['What is the inn called?', 'Where can I sleep?', 'What is the name of the inn?'],
  },
  {
    value: 'person',
    statement: 'The director of $ is @.',
    asks: ['Who is the director?', 'Who leads $?', 'What is the name of the director?'],
  },
];

const trades = [
  'Ferries',
  'Boats',
  'Lines',
  'Railway',
  'Coaches',
  'Shipping',
  'Travel',
  'Barges',
  'Club',
  'Company',
];

interface Exchange {
  readonly ask: string;
  readonly answer: string;
}
export interface CompanyChat {
  /** What the system message says; null when the person tells it. */
  readonly system: string | null;
  readonly exchanges: readonly Exchange[];
}

/** One to five facts of a company, told by the system message or by the person, then one to three asked. */
export function companyChat(random: Random): CompanyChat {
  const company = random.chance(0.7)
    ? `${inventName(random)} ${random.pick(trades)}`
    : inventTitle(random);
  const coin = random.chance(0.5) ? 'pennies' : `${values.word(random)}s`;
  const chosen = random.sample(attributes, 1 + random.below(4)).map((attribute) => {
    const made = values[attribute.value](random);
    const fill = (text: string): string =>
      capital(text.replace('$', company).replace('@', made).replace('&', coin));
    return { statement: fill(attribute.statement), asks: attribute.asks.map(fill) };
  });
  const told = chosen.map(({ statement }) => statement).join(' ');
  const asked = random.sample(chosen, 1 + random.below(3));
  const exchanges = asked.map(({ asks, statement }) => ({
    ask: random.pick(asks),
    answer: statement,
  }));
  const [first, ...others] = exchanges;
  if (first === undefined) throw new RangeError('nothing was chosen');
  if (random.chance(0.5)) return { system: told, exchanges };
  return { system: null, exchanges: [{ ...first, ask: `${told} ${first.ask}` }, ...others] };
}
