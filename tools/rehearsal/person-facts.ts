// What can be asked about a person of Wrenmouth.
import type { Fact } from './fact.ts';
import { people, type Person } from './world/people.ts';

const his = ({ pronoun }: Person): string => (pronoun === 'he' ? 'his' : 'her');
const he = ({ pronoun }: Person): string => pronoun;
const first = ({ name }: Person): string => name.split(' ')[0] ?? name;

/** Bare form of the verb: "keeps the bees" → "keep the bees". */
export function bareForm(does: string): string {
  const [verb = '', ...rest] = does.split(' ');
  const bare = verb.endsWith('ches') ? verb.slice(0, -2) : verb.slice(0, -1);
  return [bare, ...rest].join(' ');
}

function workFacts(person: Person): Fact[] {
  const { name, role, does, place } = person;
  const who = [`${name} ${does}.`, `That is ${name}. ${capitalised(he(person))} ${does}.`];
  return [
    {
      topic: name,
      asks: [
        `Who ${does}?`,
        `Who is the ${role}?`,
        `What is the name of the ${role}?`,
        `Do you know who ${does}?`,
        `I am looking for the ${role}. Who is it?`,
        `Who is the ${role} of Wrenmouth?`,
        `Can you tell me the name of the ${role}?`,
        `Which person in Wrenmouth ${does}?`,
        `Tell me who ${does}.`,
      ],
      clauses: [`who ${does}`, `who the ${role} is`],
      answers: who,
      accept: [name.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `Who is ${name}?`,
        `Do you know ${name}?`,
        `What does ${name} do?`,
        `What is the work of ${name}?`,
        `Tell me who ${name} is.`,
        `I met ${name} today. Who is that?`,
        `What is the job of ${name}?`,
      ],
      clauses: [`who ${name} is`, `what ${name} does`],
      answers: [`${name} is the ${role} of Wrenmouth.`, `${name} is the ${role}.`],
      accept: [role],
    },
    {
      topic: name,
      asks: [
        `Where does ${name} work?`,
        `Where can I find ${name} during the day?`,
        `At which place does ${name} work?`,
        `I have a parcel for ${name}. Where does ${he(person)} work?`,
        `Where is ${first(person)} at work?`,
        `Could you tell me where ${name} works?`,
      ],
      clauses: [`where ${name} works`],
      answers: [`${name} works at the ${place}.`],
      accept: [place],
    },
  ];
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function homeFacts(person: Person): Fact[] {
  const { name, street, pet } = person;
  return [
    {
      topic: name,
      asks: [
        `Where does ${name} live?`,
        `In which street does ${name} live?`,
        `What is the address of ${name}?`,
        `Do you know where ${name} lives?`,
        `Where is the home of ${name}?`,
        `I want to visit ${name}. Where does ${he(person)} live?`,
        `Tell me where ${first(person)} lives.`,
      ],
      clauses: [`where ${name} lives`, `in which street ${name} lives`],
      answers: [`${name} lives in ${street}.`],
      accept: [street.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `Which animal does ${name} have?`,
        `Does ${name} have a pet?`,
        `What pet does ${name} keep?`,
        `What is the name of ${first(person)}'s ${pet.kind}?`,
        `What is ${name}'s ${pet.kind} called?`,
        `How does ${first(person)} call ${his(person)} ${pet.kind}?`,
        `Tell me about the ${pet.kind} of ${name}.`,
      ],
      clauses: [`which pet ${name} has`, `how the ${pet.kind} of ${name} is called`],
      answers: [`${name} has a ${pet.kind} called ${pet.name}.`.replace(' a owl', ' an owl')],
      accept: [pet.name.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `Whose ${pet.kind} is ${pet.name}?`,
        `Who owns the ${pet.kind} called ${pet.name}?`,
        `I saw a ${pet.kind} called ${pet.name}. Whose is it?`.replace(' a owl', ' an owl'),
        `To whom does ${pet.name} the ${pet.kind} belong?`,
        `Who has a ${pet.kind} named ${pet.name}?`.replace(' a owl', ' an owl'),
      ],
      clauses: [`whose ${pet.kind} ${pet.name} is`, `who owns the ${pet.kind} ${pet.name}`],
      answers: [`${pet.name} is the ${pet.kind} of ${name}.`],
      accept: [name.toLowerCase()],
    },
  ];
}

function tasteFacts(person: Person): Fact[] {
  const { name, food, pastime, month, coat } = person;
  return [
    {
      topic: name,
      asks: [
        `What does ${name} like to eat?`,
        `What is the favourite food of ${name}?`,
        `What does ${first(person)} like best for dinner?`,
        `I want to cook for ${name}. What does ${he(person)} like?`,
        `Which food does ${name} like most?`,
        `What should I cook for ${first(person)}?`,
      ],
      clauses: [`what ${name} likes to eat`, `which food ${name} likes best`],
      answers: [`${name} likes ${food} best.`],
      accept: [food],
    },
    {
      topic: name,
      asks: [
        `What does ${name} do in the evening?`,
        `What does ${name} do for fun?`,
        `What does ${first(person)} do after work?`,
        `How does ${name} spend ${his(person)} free time?`,
        `What is the pastime of ${name}?`,
        `Does ${name} have a pastime?`,
      ],
      clauses: [`what ${name} does for fun`, `what ${name} does after work`],
      answers: [`In ${his(person)} free time ${name} ${pastime}.`],
      accept: [pastime],
    },
    {
      topic: name,
      asks: [
        `When was ${name} born?`,
        `In which month is ${name}'s birthday?`,
        `When is the birthday of ${name}?`,
        `When does ${first(person)} have ${his(person)} birthday?`,
        `Do you know when ${name} has a birthday?`,
      ],
      clauses: [`when ${name} was born`, `when the birthday of ${name} is`],
      answers: [`${name} has ${his(person)} birthday in ${month}.`],
      accept: [month.toLowerCase()],
    },
    {
      topic: name,
      asks: [
        `Which colour is the coat of ${name}?`,
        `What colour of coat does ${name} wear?`,
        `What does ${name} wear in the rain?`,
        `How can I recognise ${name}?`,
        `What colour is ${first(person)}'s coat?`,
      ],
      clauses: [`which colour the coat of ${name} has`, `what ${name} wears in the rain`],
      answers: [`${name} wears a ${coat} coat.`.replace(' a orange', ' an orange')],
      accept: [`${coat} coat`],
    },
  ];
}

export const personFacts = (): Fact[] =>
  people.flatMap((person) => [...workFacts(person), ...homeFacts(person), ...tasteFacts(person)]);
