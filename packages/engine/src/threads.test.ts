// How many threads for which machine.
import { describe, expect, it } from 'vitest';
import { chooseThreads, countPhysicalCores } from './threads.ts';

describe('chooseThreads', () => {
  it('leaves one core to the rest of the system, unless the machine is the engine’s own', () => {
    const cores = { physical: 8, available: 16 };
    expect(chooseThreads({ cores })).toBe(7);
    expect(chooseThreads({ cores, shared: false })).toBe(8);
  });

  it('keeps to what a container may use, and never goes below one', () => {
    expect(chooseThreads({ cores: { physical: 64, available: 4 } })).toBe(3);
    expect(chooseThreads({ cores: { physical: 1, available: 1 } })).toBe(1);
  });

  it('knows this machine', () => {
    expect(chooseThreads()).toBeGreaterThanOrEqual(1);
  });
});

describe('countPhysicalCores', () => {
  it('counts hyper-threads of one core once, and sockets apart', () => {
    const processor = (socket: number, core: number) =>
      `processor\t: 0\nphysical id\t: ${socket}\ncore id\t\t: ${core}\n`;
    const text = [processor(0, 0), processor(0, 0), processor(0, 1), processor(1, 0)].join('\n');
    expect(countPhysicalCores(text)).toBe(3);
  });

  it('does not guess where the file names no cores', () => {
    expect(countPhysicalCores('processor : 0\nBogoMIPS : 50\n')).toBeNull();
  });
});
