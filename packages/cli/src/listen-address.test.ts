// The address is found in the order that the server itself follows.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listenAddress } from './listen-address.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'corral-address-'));
});
afterEach(() => rm(home, { recursive: true }));

const file = (text: string) => writeFile(join(home, 'config.yaml'), text);

it('is the default, then the file, then the environment, then the flags', async () => {
  expect(await listenAddress({ env: {}, home })).toEqual({ host: '127.0.0.1', port: 7788 });
  await file('host: 0.0.0.0\nport: 8001\n');
  expect(await listenAddress({ env: {}, home })).toEqual({ host: '0.0.0.0', port: 8001 });
  const env = { CORRAL_PORT: '8002' };
  expect(await listenAddress({ env, home })).toEqual({ host: '0.0.0.0', port: 8002 });
  const flags = { host: '::1', port: 8003 };
  expect(await listenAddress({ env, home }, flags)).toEqual(flags);
});

it('takes the file that CORRAL_CONFIG names, which must be there', async () => {
  const path = join(home, 'other.yaml');
  await writeFile(path, 'port: 8004\n');
  const named = { env: { CORRAL_CONFIG: path }, home };
  expect((await listenAddress(named)).port).toBe(8004);
  await rm(path);
  await expect(listenAddress(named)).rejects.toMatchObject({ code: 'file_not_found' });
});

it('leaves what is not valid to the server, and finds a port where any will do', async () => {
  await file('host: 7\nport: many\n');
  expect(await listenAddress({ env: { CORRAL_PORT: 'x' }, home })).toEqual({
    host: '127.0.0.1',
    port: 7788,
  });
  await file('port: 0\n');
  expect((await listenAddress({ env: {}, home })).port).toBeGreaterThan(0);
});

it('takes a file of nothing but comments for an empty one', async () => {
  await file('# nothing yet\n');
  expect((await listenAddress({ env: {}, home })).port).toBe(7788);
});
