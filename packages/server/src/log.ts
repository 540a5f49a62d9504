// The server's log: JSON lines in CORRAL_HOME/logs/server.log. Keys are redacted; the text of users is
// never given to it.
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { destination, pino, type Logger } from 'pino';
import type { Config } from './config.ts';

export interface Log {
  readonly logger: Logger;
  /** Everything is on its way to disk. */
  flush(): void;
}

/** Above this a start moves the file to `server.log.1`: two of them bound the disk that logs take. */
const rotateBytes = 64 * 1024 * 1024;

export function openLog(folder: string, level: Config['log']['level']): Log {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'server.log');
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > rotateBytes) renameSync(path, `${path}.1`);
  const stream = destination({ dest: path, sync: false, append: true, mode: 0o600 });
  const redact = [
    'authorization',
    'headers.authorization',
    'req.headers.authorization',
    '*.api_key',
  ];
  return { logger: pino({ level, redact }, stream), flush: () => stream.flushSync() };
}
