// Sequences between the main context and a side context, where carrying them fails.
import { describe, expect, it } from 'vitest';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import type { NativeContext } from '../llama-cpp/native-types.ts';
import { createSequencePlaces } from './sequence-places.ts';

const tokens = [3, 1, 4, 1, 5];

function setUp() {
  const model = createFakeLibrary().loadModel('model.gguf');
  const create = (sequences: number): NativeContext =>
    model.createContext({
      sequenceTokens: 64,
      sequences,
      batchTokens: 32,
      outputs: 8,
      threads: 1,
    });
  const main = create(2);
  const places = createSequencePlaces(main);
  for (const [position, token] of tokens.entries()) main.batch.add(token, position, 0, false);
  main.decode();
  const side = places.add(create(2));
  return { main, places, side, state: main.save(0) };
}

const slots = [{ sequence: 0, fed: tokens.length }];

describe('a sequence that cannot be carried', () => {
  it('stays in the main context', () => {
    const { places, side, state } = setUp();
    side.native.restore = () => false;
    expect(() => places.gather(side, slots)).toThrow('could not be carried');
    expect(side.taken).toBe(0);
    expect(places.context.save(0)).toEqual(state);
  });

  it('stays in its side context, which is not given up', () => {
    const { main, places, side, state } = setUp();
    places.gather(side, slots);
    const { restore } = main;
    main.restore = () => false;
    expect(() => places.remove(side)).toThrow('could not be carried');
    expect(places.context.save(0)).toEqual(state);
    main.restore = restore;
    places.remove(side);
    expect(main.save(0)).toEqual(state);
  });
});
