// How many threads an engine decodes with. ggml's barriers spin: two threads on two cores that another
// process also wants fall to a tenth of the speed, so one core is left to the rest of the system.
// Pure but for `readCores`; knows nothing of llama.cpp.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface Cores {
  /** Physical cores of the machine. */
  readonly physical: number;
  /** Logical processors this process may use (affinity and container quota included). */
  readonly available: number;
}

/** Distinct (socket, core) pairs of /proc/cpuinfo; null when the file does not name them. */
export function countPhysicalCores(cpuinfo: string): number | null {
  const seen = new Set<string>();
  for (const block of cpuinfo.split(/\n\s*\n/)) {
    const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
    const socket = /^physical id\s*:\s*(\d+)/m.exec(block)?.[1];
    if (core !== undefined) seen.add(`${socket ?? 0}:${core}`);
  }
  return seen.size > 0 ? seen.size : null;
}

function readCores(): Cores {
  const available = availableParallelism();
  let physical: number | null = null;
  try {
    physical = countPhysicalCores(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    physical = null; // Not Linux: the logical count is the best that Node knows.
  }
  return { physical: physical ?? available, available };
}

/**
 * Threads for decoding: the physical cores this process may use, minus one when they are shared with
 * other busy processes (the default: server, trainer and database run on the same machine).
 */
export function chooseThreads({
  cores = readCores(),
  shared = true,
}: {
  readonly cores?: Cores;
  readonly shared?: boolean;
} = {}): number {
  const usable = Math.min(cores.physical, cores.available);
  return Math.max(1, shared ? usable - 1 : usable);
}
