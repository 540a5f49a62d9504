// Free disk space, asked before bytes are written, so that a full disk is a sentence and not a crash.
import { mkdir, statfs } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';

/** Left free beside what is asked for: logs, the database and the evidence log go on writing. */
const reserveBytes = 64 * 2 ** 20;

/** 1,234,567 → "1.2 MiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power] ?? 'B'}`;
}

/** Bytes an ordinary user may still write under `folder`. */
export type FreeBytes = (folder: string) => Promise<number>;

const freeBytes: FreeBytes = async (folder) => {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
};

export interface SpaceRequest {
  readonly folder: string;
  readonly bytes: number;
  /** Completes "… are needed for {purpose}". */
  readonly purpose: string;
  readonly measure?: FreeBytes | undefined;
}

/** Throws disk_too_small unless `bytes` and a reserve fit under `folder` (created when missing). */
export async function ensureFreeSpace(request: SpaceRequest): Promise<void> {
  const { folder, bytes, purpose, measure = freeBytes } = request;
  await mkdir(folder, { recursive: true });
  const available = await measure(folder);
  if (available >= bytes + reserveBytes) return;
  throw new CorralError('disk_too_small', {
    params: {
      path: folder,
      available: formatBytes(available),
      needed: formatBytes(bytes + reserveBytes),
      purpose,
    },
    details: { available_bytes: available, needed_bytes: bytes + reserveBytes },
  });
}
