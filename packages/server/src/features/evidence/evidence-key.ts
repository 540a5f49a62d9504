// The log's Ed25519 key: made once, kept in CORRAL_HOME with mode 0600, named after itself.
import { createHash } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { createSigner, generateSigningKey, type CheckpointSigner } from '@corral/evidence';

/** Reads the key, making it the first time. Its name, the log's origin, is derived from the key. */
export async function loadSigner(path: string): Promise<CheckpointSigner> {
  const privateKey = (await readIfThere(path)) ?? (await create(path));
  const { publicKey } = createSigner({ name: 'unnamed', privateKey });
  const fingerprint = createHash('sha256').update(publicKey).digest('hex').slice(0, 16);
  return createSigner({ name: `corral-log-${fingerprint}`, privateKey });
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function create(path: string): Promise<string> {
  const aside = `${path}.${process.pid}`;
  await writeFile(aside, generateSigningKey(), { mode: 0o600, flush: true });
  try {
    await link(aside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
  return readFile(path, 'utf8');
}
