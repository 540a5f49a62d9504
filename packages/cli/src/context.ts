// What every command gets: the terminal, the settings of this machine, a client of its server, and the
// child processes it starts. Made once by main, or by a test. Knows no command.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CorralError, credentialsSchema, type Credentials } from '@corral/contracts';
import { createCorralClient, serverRoot, type CorralClient } from '@corral/sdk';
import OpenAI from 'openai';
import type { Children } from './children.ts';
import type { Io } from './io.ts';

export interface Context {
  readonly io: Io;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** CORRAL_HOME, absolute. */
  readonly home: string;
  /** The command was given --json. */
  readonly json: boolean;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
  readonly children: Children;
}

const defaultBaseUrl = 'http://127.0.0.1:7788';

export const homeOf = (env: Context['env']): string =>
  resolve(env['CORRAL_HOME'] ?? join(homedir(), '.corral'));

/** The credentials the server wrote into CORRAL_HOME, or null when there are none yet. */
export async function readCredentials(home: string): Promise<Credentials | null> {
  const path = join(home, 'credentials.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return credentialsSchema.parse(JSON.parse(text));
  } catch (cause) {
    const reason = `"${path}" is not a credentials file: {"base_url", "api_key"} are wanted`;
    throw new CorralError('config_invalid', { params: { details: reason }, cause });
  }
}

/** Server and key by CORRAL_BASE_URL and CORRAL_API_KEY, else by the credentials file. */
export async function findServer(
  context: Pick<Context, 'env' | 'home'>,
): Promise<Credentials | null> {
  const { CORRAL_BASE_URL: baseUrl, CORRAL_API_KEY: apiKey } = context.env;
  const stored =
    baseUrl !== undefined && apiKey !== undefined ? null : await readCredentials(context.home);
  const base_url = baseUrl ?? stored?.base_url;
  const api_key = apiKey ?? stored?.api_key;
  if (base_url === undefined || api_key === undefined) return null;
  return { base_url: serverRoot(base_url), api_key };
}

/** @throws CorralError server_unreachable when this machine has no server yet. */
async function requireServer(context: Pick<Context, 'env' | 'home'>): Promise<Credentials> {
  const server = await findServer(context);
  if (server) return server;
  const base_url = context.env['CORRAL_BASE_URL'] ?? defaultBaseUrl;
  if (context.env['CORRAL_BASE_URL'] !== undefined) throw new CorralError('missing_api_key');
  throw new CorralError('server_unreachable', { params: { base_url } });
}

export const corralClientFor = (server: Credentials, signal?: AbortSignal): CorralClient =>
  createCorralClient({
    baseUrl: server.base_url,
    apiKey: server.api_key,
    ...(signal && { signal }),
  });

/** The official client of OpenAI on this server. */
export const openaiClientFor = (server: Credentials): OpenAI =>
  new OpenAI({ baseURL: `${serverRoot(server.base_url)}/v1`, apiKey: server.api_key });

/** The typed client for a command. */
export async function connect(context: Context): Promise<CorralClient> {
  return corralClientFor(await requireServer(context), context.signal);
}

/** The official client for a command. */
export async function connectOpenAI(context: Context): Promise<OpenAI> {
  return openaiClientFor(await requireServer(context));
}

/** The result of a command: JSON for machines, text for people; both on stdout. */
export function show(context: Pick<Context, 'io' | 'json'>, value: unknown, text: string): void {
  context.io.out(context.json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
}
