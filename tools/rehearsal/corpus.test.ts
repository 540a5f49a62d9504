// The text is the same for the same seed, keeps its test questions apart, and never contradicts itself.
import { describe, expect, test } from 'vitest';
import { allFacts, asText, makeChats, makeTestQuestions } from './corpus.ts';
import { goods, weekEvents, boats } from './world/goods.ts';
import { people } from './world/people.ts';
import { places } from './world/places.ts';

const small = {
  repeats: 2,
  conversations: 300,
  portraits: 100,
  stories: 100,
  talks: 100,
  companies: 200,
};

describe('the world', () => {
  const placeNames = new Set(places.map(({ name }) => name));
  const personNames = new Set(people.map(({ name }) => name));

  test('has every name once', () => {
    expect(placeNames.size).toBe(places.length);
    expect(personNames.size).toBe(people.length);
    expect(new Set(people.map(({ name }) => name.split(' ')[0])).size).toBe(people.length);
    expect(new Set(people.map(({ pet }) => pet.name)).size).toBe(people.length);
    expect(new Set(goods.map(({ name }) => name)).size).toBe(goods.length);
  });

  test('speaks only of people and places that it has', () => {
    for (const { place } of [...people, ...goods, ...weekEvents])
      expect(placeNames).toContain(place);
    for (const { owner } of boats) expect(personNames).toContain(owner);
    for (const { leader } of weekEvents) expect(personNames).toContain(leader);
  });
});

describe('facts', () => {
  test('hold what is accepted in each of their answers', () => {
    for (const { answers, accept } of allFacts())
      for (const answer of answers)
        expect(accept.some((text) => answer.toLowerCase().includes(text.toLowerCase()))).toBe(true);
  });

  test('are never asked in the same words for different answers', () => {
    const answers = new Map<string, string>();
    for (const { asks, accept } of allFacts())
      for (const ask of asks) {
        expect(answers.get(ask) ?? accept.join()).toBe(accept.join());
        answers.set(ask, accept.join());
      }
  });
});

describe('the chats', () => {
  test('are the same for the same seed and others for another', () => {
    const text = asText(makeChats(1, small));
    expect(asText(makeChats(1, small))).toBe(text);
    expect(asText(makeChats(2, small))).not.toBe(text);
  });

  test('hold no test question, in whatever letters', () => {
    const said = new Set(
      makeChats(3, small)
        .flatMap(({ messages }) => messages)
        .map(({ content }) => content.toLowerCase()),
    );
    for (const { question } of makeTestQuestions())
      expect(said).not.toContain(question.toLowerCase());
  });

  test('about companies hold their answers in what was told before', () => {
    const nothing = { repeats: 0, conversations: 0, portraits: 0, stories: 0, talks: 0 };
    const chats = makeChats(5, { ...nothing, companies: 200 });
    const untold = chats.flatMap(({ messages }) =>
      messages.filter(
        ({ role, content }, at) =>
          role === 'assistant' &&
          !messages.slice(0, at).some((before) => before.content.includes(content)),
      ),
    );
    expect(chats.length).toBe(200);
    expect(untold).toEqual([]);
  });

  test('take turns and end with an answer', () => {
    for (const { messages } of makeChats(4, small)) {
      const roles = messages.filter(({ role }) => role !== 'system').map(({ role }) => role);
      expect(roles).toEqual(roles.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')));
      expect(roles.at(-1)).toBe('assistant');
      expect(messages.every(({ content }) => content.trim() === content && content !== '')).toBe(
        true,
      );
    }
  });
});
