// A whole server for a test, minus the socket: PGlite, a temporary home, requests by `inject`.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyScope } from '@corral/contracts';
import { createSigner, generateSigningKey } from '@corral/evidence';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { buildApp } from '../app.ts';
import { compose, type Composition, type Substitutes } from '../compose.ts';
import { loadConfig, type ConfigInput } from '../config.ts';
import { createTestDb } from '../db/create-test-db.fake.ts';
import type { Database } from '../db/database.ts';

export interface TestResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
  readonly json: any;
}

interface CallOptions {
  /** Default: the admin key. Null: none. */
  readonly key?: string | null;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface TestApp extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly parts: Composition;
  readonly home: string;
  readonly adminKey: string;
  call(
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    options?: CallOptions,
  ): Promise<TestResponse>;
  /** Uploads one file; answers the file object's JSON. */
  upload(
    content: string,
    options?: CallOptions & { fields?: Record<string, string> },
  ): Promise<TestResponse>;
  /** A key of a new project. */
  otherProject(name: string, scopes?: readonly KeyScope[]): Promise<string>;
  close(): Promise<void>;
}

export interface TestAppOptions {
  readonly config?: Partial<ConfigInput>;
  readonly substitutes?: Substitutes;
  /** Shared by two apps that stand for one server before and after a crash. */
  readonly database?: Database;
  readonly home?: string;
}

export async function createTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'corral-test-')));
  const config = loadConfig({ environment: {}, overrides: { ...options.config, home } });
  const database = options.database ?? (await createTestDb());
  const signer = createSigner({ name: 'corral-test-log', privateKey: generateSigningKey() });
  const log = pino({ level: 'silent' });
  const parts = compose({
    config,
    database,
    signer,
    log,
    ...(options.substitutes === undefined ? {} : { substitutes: options.substitutes }),
  });
  const { platform, access, features } = parts;
  const adminKey = (await access.bootstrap()) ?? (await access.issueOperatorKey());
  const app = await buildApp({
    log,
    access,
    features,
    metrics: platform.metrics,
    bodyLimit: config.limits.body_bytes,
  });
  await platform.queue.prepare();
  for (const feature of features) await feature.start?.();
  await platform.queue.start();
  parts.setReady(true);

  const call = callerOf(app, adminKey);
  const close = async (): Promise<void> => {
    await platform.queue.close();
    for (const feature of features.toReversed()) await feature.close?.();
    await app.close();
    if (options.database === undefined) await database.close();
    if (options.home === undefined) await rm(home, { recursive: true, force: true });
  };
  return {
    app,
    parts,
    home,
    adminKey,
    call,
    close,
    [Symbol.asyncDispose]: close,
    ...helpersOf(call),
  };
}

const callerOf =
  (app: FastifyInstance, adminKey: string): TestApp['call'] =>
  async (method, url, { key = adminKey, body, headers = {} } = {}) => {
    const response = await app.inject({
      method,
      url,
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
      ...(body === undefined ? {} : { payload: body as string | object }),
    });
    return {
      status: response.statusCode,
      headers: response.headers,
      text: response.body,
      json: String(response.headers['content-type']).includes('json') ? response.json() : null,
    };
  };

const helpersOf = (call: TestApp['call']): Pick<TestApp, 'upload' | 'otherProject'> => ({
  upload: (content, { fields = { purpose: 'fine-tune' }, headers = {}, ...rest } = {}) => {
    const { body, boundary } = multipart(content, fields);
    return call('POST', '/v1/files', {
      ...rest,
      body,
      headers: { ...headers, 'content-type': `multipart/form-data; boundary=${boundary}` },
    });
  },
  async otherProject(name, scopes = ['inference', 'training', 'read']) {
    const project = await call('POST', '/api/v1/projects', { body: { name } });
    const key = await call('POST', '/api/v1/keys', {
      body: { name: 'test', project: project.json.id, scopes },
    });
    return String(key.json.key);
  },
});

/** A multipart body with the file before or after the fields, as `fields` says with the key `file`. */
function multipart(
  content: string,
  fields: Readonly<Record<string, string>>,
): { body: string; boundary: string } {
  const boundary = 'corral-test-boundary';
  const field = ([name, value]: readonly [string, string]): string =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const { file: filename = 'train.jsonl', ...rest } = fields;
  const file =
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${filename}"\r\n` +
    `Content-Type: application/octet-stream\r\n\r\n${content}\r\n`;
  return {
    body: `${file}${Object.entries(rest).map(field).join('')}--${boundary}--\r\n`,
    boundary,
  };
}
