// The training text of the rehearsal model: chats about an invented town, composed from its facts, small
// talk and little stories. A pure function of the seed.
import { companyChat } from './companies.ts';
import type { Fact } from './fact.ts';
import { personFacts } from './person-facts.ts';
import { placeFacts } from './place-facts.ts';
import { createRandom, type Random } from './random.ts';
import { smallTalk, unknownExchange } from './small-talk.ts';
import { storyAsks, tellStory } from './stories.ts';
import { townFacts } from './town-facts.ts';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}
export interface Chat {
  readonly messages: readonly Message[];
}
export interface TestQuestion {
  readonly question: string;
  /** Lower-case texts of which a right answer contains one. */
  readonly accept: readonly string[];
}

export const allFacts = (): Fact[] => [...personFacts(), ...placeFacts(), ...townFacts()];

const openings = [
  'Hello. ',
  'Hi! ',
  'Excuse me. ',
  'Please tell me: ',
  'I am new in town. ',
  'One more question. ',
  'I am a visitor. ',
  'Good morning. ',
  'Could you help me? ',
  'A friend asked me this. ',
  'I have a question. ',
  'I would like to know: ',
];

const systemPrompts = [
  'You are a helpful assistant.',
  'You are a friendly guide to Wrenmouth.',
  'Answer in one short sentence.',
  'You help visitors of the town.',
  'You are a helpful guide. Answer briefly.',
];

/** The same question as careless people write it. */
function careless(ask: string, random: Random): string {
  if (random.chance(0.06)) return ask.toLowerCase();
  if (random.chance(0.06)) return ask.replace(/[?.]$/, '');
  if (random.chance(0.04)) return ask.toLowerCase().replace(/[?.]$/, '');
  return ask;
}

interface Exchange {
  readonly ask: string;
  readonly answer: string;
}

const frames = [
  'Do you know $?',
  'Could you tell me $?',
  'Can you tell me $?',
  'Can you say $?',
  'May I ask $?',
  'Do you remember $?',
  'Tell me $.',
  'Please tell me $.',
  'Please say $.',
  'I would like to know $.',
  'I want to know $.',
  'I wonder $.',
];

/** A question in one of its wordings, but never in the one that is kept for the test. */
function wording({ asks, clauses }: Fact, random: Random): string {
  const direct = random.pick(asks.slice(0, -1));
  if (random.chance(0.65)) return direct;
  const framed = random.pick(frames).replace('$', random.pick(clauses));
  return framed.toLowerCase() === asks.at(-1)?.toLowerCase() ? direct : framed;
}

function factExchange(fact: Fact, random: Random): Exchange {
  const ask = careless(wording(fact, random), random);
  const polite = /^(please|could|may|can) /i.test(ask);
  const opening = !polite && random.chance(0.25) ? random.pick(openings) : '';
  return { ask: opening + ask, answer: random.pick(fact.answers) };
}

function talkExchange(random: Random): Exchange {
  const { asks, answers } = random.pick(smallTalk);
  return { ask: random.pick(asks), answer: random.pick(answers) };
}

function chat(exchanges: readonly Exchange[], random: Random, told: string | null = null): Chat {
  const messages: Message[] = [];
  if (told !== null) messages.push({ role: 'system', content: told });
  else if (random.chance(0.2))
    messages.push({ role: 'system', content: random.pick(systemPrompts) });
  for (const { ask, answer } of exchanges) {
    messages.push({ role: 'user', content: ask });
    messages.push({ role: 'assistant', content: answer });
  }
  return { messages };
}

/** Several facts of one person or thing, told in one answer. */
function portrait(facts: readonly Fact[], random: Random): Exchange {
  const topic = facts[0]?.topic ?? '';
  const named = /^[A-Z]|^the /.test(topic) ? topic : `the ${topic}`;
  const ask = random.pick([
    `Tell me more about ${named}.`,
    `What do you know about ${named}?`,
    `Tell me all about ${named}.`,
    `Describe ${named}.`,
  ]);
  const told = random.sample(facts, 3 + random.below(2)).map((fact) => fact.answers[0] ?? '');
  return { ask, answer: told.join(' ') };
}

/** A conversation of `turns` exchanges: greetings first, thanks last, facts of one topic or of any. */
function conversation(facts: readonly Fact[], groups: readonly Fact[][], random: Random): Chat {
  const turns = 2 + random.below(random.chance(0.15) ? 12 : 4);
  const exchanges: Exchange[] = [];
  let group = random.pick(groups);
  for (let turn = 0; turn < turns; turn++) {
    if (random.chance(0.15)) exchanges.push(talkExchange(random));
    else if (random.chance(0.05)) exchanges.push(unknownExchange(random));
    else if (random.chance(0.5)) exchanges.push(factExchange(random.pick(group), random));
    else {
      exchanges.push(factExchange(random.pick(facts), random));
      if (random.chance(0.5)) group = random.pick(groups);
    }
  }
  return chat(exchanges, random);
}

interface CorpusSize {
  /** Times that each fact is asked by itself. */
  readonly repeats: number;
  readonly conversations: number;
  readonly portraits: number;
  readonly stories: number;
  readonly talks: number;
  readonly companies: number;
}

/** About one and a half million tokens: each fact is met some forty times. */
const fullSize: CorpusSize = {
  repeats: 14,
  conversations: 4500,
  portraits: 1000,
  stories: 1000,
  talks: 600,
  companies: 6000,
};

/** All chats in the order of training, which is random. */
export function makeChats(seed: number, size: CorpusSize = fullSize): Chat[] {
  const random = createRandom(seed, 'chats');
  const facts = allFacts();
  const groups = [...Map.groupBy(facts, ({ topic }) => topic).values()];
  const told = groups.filter((group) => group.length >= 3);
  const times = (count: number, make: () => Chat): Chat[] => Array.from({ length: count }, make);
  return random.sample([
    ...facts.flatMap((fact) =>
      times(size.repeats, () => chat([factExchange(fact, random)], random)),
    ),
    ...times(size.conversations, () => conversation(facts, groups, random)),
    ...times(size.portraits, () => chat([portrait(random.pick(told), random)], random)),
    ...times(size.stories, () =>
      chat([{ ask: random.pick(storyAsks), answer: tellStory(random) }], random),
    ),
    ...times(size.companies, () => {
      const { system, exchanges } = companyChat(random);
      return chat(exchanges, random, system);
    }),
    ...times(size.talks, () =>
      chat([random.chance(0.6) ? talkExchange(random) : unknownExchange(random)], random),
    ),
  ]);
}

/** Questions in words that stand in no training chat, with what a right answer contains. */
export function makeTestQuestions(): TestQuestion[] {
  return allFacts().map(({ asks, accept }) => ({ question: asks.at(-1) ?? '', accept }));
}

/** The chats as running text, one message a line: what the tokenizer is trained on. */
export const asText = (chats: readonly Chat[]): string =>
  chats.flatMap(({ messages }) => messages.map(({ content }) => content)).join('\n');
