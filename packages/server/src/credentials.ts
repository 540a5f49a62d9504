// CORRAL_HOME/credentials.json (0600): how the command line and the examples on this machine find the
// server and its key. Written aside and renamed, so that nobody reads half of it.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { credentialsSchema, type Credentials } from '@corral/contracts';

/** Null when there is none, or when it cannot be read as one. */
export async function readCredentials(path: string): Promise<Credentials | null> {
  try {
    return credentialsSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined || code === 'ENOENT') return null;
    throw error;
  }
}

export async function writeCredentials(path: string, credentials: Credentials): Promise<void> {
  const aside = `${path}.${process.pid}`;
  await writeFile(aside, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(aside, path);
}
