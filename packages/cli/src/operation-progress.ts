// The progress of a server's operation (a download, an import, a parity check) as one live line.
import type { Operation } from '@corral/contracts';
import { formatBytes, formatSeconds } from './format.ts';
import type { Io } from './io.ts';
import { createProgress } from './progress.ts';

/** `12.0 of 94.4 MB · 5.1 MB/s · 16 s left · what happens`, and the fraction for the bar. */
export function describeOperation({ progress }: Operation): {
  readonly text: string;
  readonly fraction: number | null;
} {
  const { message, done_bytes: done, total_bytes: total, bytes_per_second: rate } = progress;
  const parts: string[] = [];
  if (total !== null && total > 0) parts.push(`${formatBytes(done)} of ${formatBytes(total)}`);
  else if (done > 0) parts.push(formatBytes(done));
  if (rate !== null && rate > 0) {
    parts.push(`${formatBytes(rate)}/s`);
    if (total !== null && total > done) parts.push(`${formatSeconds((total - done) / rate)} left`);
  }
  parts.push(message);
  return {
    text: parts.join(' · '),
    fraction: total !== null && total > 0 ? Math.min(1, done / total) : null,
  };
}

/** Runs `wait` with a live line that follows the operation. */
export async function showOperation(
  io: Io,
  wait: (onChange: (operation: Operation) => void) => Promise<Operation>,
): Promise<Operation> {
  using progress = createProgress(io);
  return await wait((operation) => {
    const { text, fraction } = describeOperation(operation);
    progress.update(text, fraction);
  });
}
