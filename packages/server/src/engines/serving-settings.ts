// What the settings of `serving` mean for engines: bytes for "auto" and for "12GiB", milliseconds for seconds.
import type { Config } from '../config.ts';
import type { EngineSupervisorOptions } from './engine-supervisor.ts';

/** The rest is for training, the database, and files that others read. */
const automaticShare = 0.75;

const units: Readonly<Record<string, number>> = {
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  MB: 1e6,
  GB: 1e9,
};

/** Bytes; the schema of the settings lets nothing else through. */
export function bytesOf(setting: string | number, automatic: number): number {
  if (typeof setting === 'number') return setting;
  if (setting === 'auto') return automatic;
  const [, amount = '0', unit = ''] = /^([\d.]+)\s*(\w+)$/.exec(setting) ?? [];
  return Math.floor(Number(amount) * (units[unit] ?? 1));
}

/** @param available bytes that this process may still take */
export function servingSettings(
  serving: Config['serving'],
  available = process.availableMemory(),
): EngineSupervisorOptions {
  const limitBytes = bytesOf(serving.memory_limit, Math.floor(available * automaticShare));
  return {
    maxAdapters: serving.max_adapters,
    maxWaiting: serving.max_waiting,
    maxBytes: bytesOf(serving.child_memory_limit, limitBytes),
    memory: {
      limitBytes,
      waitMs: serving.wait_seconds * 1000,
      idleMs: serving.idle_unload_seconds * 1000,
    },
  };
}
