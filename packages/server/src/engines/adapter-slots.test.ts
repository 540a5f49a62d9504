// What a child holds after many models were asked for: as many as the limit, never fewer than are in use.
import { expect, test } from 'vitest';
import { AdapterSlots } from './adapter-slots.ts';

function host() {
  const held = new Set<string>();
  const log: string[] = [];
  return {
    held,
    log,
    load: async ({ id }: { id: string }) => {
      log.push(`load ${id}`);
      if (id === 'bad') throw new Error('no such file');
      held.add(id);
    },
    unload: async (id: string) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      log.push(`unload ${id}`);
      held.delete(id);
    },
  };
}
const settled = () => new Promise((resolve) => setTimeout(resolve, 10));
const adapter = (id: string) => ({ id, path: `/${id}.gguf` });

test('beyond the limit the longest unused goes, and comes back when asked for', async () => {
  const child = host();
  const slots = new AdapterSlots(child, 2);
  for (const id of ['a', 'b', 'a', 'c']) (await slots.take(adapter(id)))();
  await settled();
  expect([...child.held]).toEqual(['a', 'c']);
  (await slots.take(adapter('b')))();
  await settled();
  expect([...child.held]).toEqual(['c', 'b']);
});

test('one in use stays, however many others come, and goes when it is given back', async () => {
  const child = host();
  const slots = new AdapterSlots(child, 1);
  const releases = await Promise.all(['a', 'a', 'b'].map((id) => slots.take(adapter(id))));
  await settled();
  expect([...child.held]).toEqual(['a', 'b']);
  releases[0]?.();
  releases[0]?.();
  await settled();
  expect(child.held.has('a')).toBe(true);
  releases[1]?.();
  await settled();
  expect([...child.held]).toEqual(['b']);
});

test('one that is just being unloaded is loaded after that, not before', async () => {
  const child = host();
  const slots = new AdapterSlots(child, 1);
  (await slots.take(adapter('a')))();
  (await slots.take(adapter('b')))();
  (await slots.take(adapter('a')))();
  expect(child.log.filter((line) => line.endsWith(' a'))).toEqual(['load a', 'unload a', 'load a']);
});

test('a load that fails is tried again and takes no place', async () => {
  const child = host();
  const slots = new AdapterSlots(child, 1);
  (await slots.take(adapter('a')))();
  for (const _ of [1, 2]) await expect(slots.take(adapter('bad'))).rejects.toThrow('no such file');
  expect(child.log.filter((line) => line === 'load bad')).toHaveLength(2);
});
