// Where `corral serve` will listen, found as the server finds it: flags, environment, config.yaml, default. What
// is not valid is left to the server, which checks all settings at once and says so.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readConfigFile } from './config-file.ts';
import type { Context } from './context.ts';
import { freePort } from './server-process.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

const asPort = (value: unknown): number | undefined => {
  const port = typeof value === 'string' && value !== '' ? Number(value) : value;
  const isPort = typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535;
  return isPort ? port : undefined;
};
const asHost = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** @throws CorralError file_not_found, config_invalid for a file of settings that cannot be read */
export async function listenAddress(
  { env, home }: Pick<Context, 'env' | 'home'>,
  flags: { readonly host?: string | undefined; readonly port?: number | undefined } = {},
): Promise<Address> {
  const path = env['CORRAL_CONFIG'] ?? join(home, 'config.yaml');
  const isNamed = env['CORRAL_CONFIG'] !== undefined;
  const file = isNamed || existsSync(path) ? await readConfigFile(path, { mayBeEmpty: true }) : {};
  const host = flags.host ?? asHost(env['CORRAL_HOST']) ?? asHost(file['host']) ?? '127.0.0.1';
  const port = flags.port ?? asPort(env['CORRAL_PORT']) ?? asPort(file['port']) ?? 7788;
  // 0 means any that is free; this command must know which.
  return { host, port: port === 0 ? await freePort() : port };
}
