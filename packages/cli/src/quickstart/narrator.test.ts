import { describe, expect, it } from 'vitest';
import { keepingIo } from '../fakes/harness.fake.ts';
import { createNarrator, createWrapper, wrapWords } from './narrator.ts';
import { summarizeActions } from './evidence-stage.ts';

describe('createNarrator', () => {
  it('numbers the stages and books their time by name', () => {
    const { io, kept } = keepingIo();
    let time = 0;
    const narrator = createNarrator({ io, json: false }, () => time);
    narrator.stage('Start');
    time = 1500;
    narrator.done('it runs');
    narrator.book('start');
    narrator.stage('Ask');
    time = 2750;
    narrator.book('ask');
    expect(narrator.seconds).toEqual({ start: 1.5, ask: 1.25 });
    expect(kept.out).toBe('\n1  Start\n   ✓ it runs  1.5 s\n\n2  Ask\n');
  });

  it('leaves stdout to the machine with --json', () => {
    const { io, kept } = keepingIo();
    createNarrator({ io, json: true }).stage('Start');
    expect(kept).toEqual({ out: '', err: '\n1  Start\n' });
  });
});

describe('wrapWords', () => {
  it('breaks between words, keeps long ones whole, and does not count colours', () => {
    expect(wrapWords('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrapWords('a incomprehensible b', 5)).toEqual(['a', 'incomprehensible', 'b']);
    expect(wrapWords('\u001b[1mone\u001b[22m two', 7)).toHaveLength(1);
    expect(wrapWords('a  b', 10)).toEqual(['a  b']);
  });
});

describe('createWrapper', () => {
  const wrapped = (pieces: readonly string[]) => {
    let text = '';
    const wrapper = createWrapper((piece) => (text += piece), {
      width: 12,
      hanging: '    ',
      start: 4,
    });
    for (const piece of pieces) wrapper.push(piece);
    wrapper.end();
    return text;
  };

  it('breaks between words, wherever the stream was cut', () => {
    const expected = 'one two\n    three\n';
    expect(wrapped(['one two three'])).toBe(expected);
    expect(wrapped('one two three'.split(''))).toBe(expected);
    expect(wrapped(['on', 'e t', 'wo thr', 'ee'])).toBe(expected);
  });

  it('makes one line of many', () => {
    expect(wrapped(['a\n\nb '])).toBe('a b\n');
  });
});

it('counts actions in the order of their first entry', () => {
  expect(summarizeActions(['b.x', 'a.x', 'b.x'])).toBe('b.x ×2, a.x');
});
