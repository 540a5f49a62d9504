// What a process holds in memory, as Linux counts it: proc(5), smaps_rollup. Pages that others map, too, are
// told apart, because every Node process shares the program and every user of a model file its weights.
import { readFileSync } from 'node:fs';

/** Megabytes of 10^6 bytes. */
export interface ProcessMemory {
  readonly rss: number;
  /** Its share of what is shared, and all of what is not. */
  readonly pss: number;
  /** Written by it: keys and values, heaps. */
  readonly privateDirty: number;
  /** Read from files that nobody else has mapped. */
  readonly privateClean: number;
  readonly shared: number;
}

export function processMemory(pid: number): ProcessMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6;
  return {
    rss: megabytes('Rss'),
    pss: megabytes('Pss'),
    privateDirty: megabytes('Private_Dirty'),
    privateClean: megabytes('Private_Clean'),
    shared: megabytes('Shared_Clean') + megabytes('Shared_Dirty'),
  };
}
