// A test server with scripted engine children, a policy of four words and no way out to the network.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEvent, Operation, ServerStatus } from '@corral/contracts';
import type { ServingOptions } from '../compose-serving.ts';
import type { ConfigInput } from '../config.ts';
import { fakeEngineUrl } from '../engines/fake-engine.fake.ts';
import { createTestApp } from './create-test-app.fake.ts';
import type { TestApp, TestResponse } from './create-test-app.fake.ts';
import { fakePolicy } from '../features/gateway/fake-policy.fake.ts';

export interface ServingApp extends TestApp {
  /** Polls until the operation that a call started has ended. */
  operation(started: TestResponse): Promise<Operation>;
  engines(): Promise<ServerStatus['engines']>;
  /** Actions on record, oldest first. */
  audit(): Promise<AuditEvent[]>;
  /** A base model of a given id over a file of no content: enough for the scripted engine. */
  addBase(id: string, more?: { servingPath: string | null }): Promise<void>;
}

export interface ServingAppOptions extends ServingOptions {
  readonly config?: Partial<ConfigInput>;
}

/** Nothing listens there: every source fails at once. */
const nowhere = 'http://127.0.0.1:1';

export async function createServingApp(options: ServingAppOptions = {}): Promise<ServingApp> {
  const { config, engine, ...serving } = options;
  const server = await createTestApp({
    ...(config === undefined ? {} : { config }),
    substitutes: {
      serving: {
        policy: fakePolicy,
        sources: {
          huggingFaceEndpoint: nowhere,
          modelScopeEndpoint: nowhere,
          pypiEndpoint: nowhere,
        },
        ...serving,
        engine: { workerUrl: fakeEngineUrl, restartMs: 10, ...engine },
      },
    },
  });
  const { home, parts } = server;
  const call: TestApp['call'] = (...all) => server.call(...all);

  return {
    ...server,
    async operation(started) {
      for (;;) {
        const { json } = await call('GET', `/api/v1/operations/${started.json.id}`);
        if (json.status !== 'running') return json;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    engines: async () => (await call('GET', '/api/v1/status')).json.engines,
    async audit() {
      const { json } = await call('GET', '/api/v1/evidence/entries?limit=1000');
      return json.data.map(({ event }: { event: AuditEvent }) => event);
    },
    async addBase(id, { servingPath } = { servingPath: join(home, `${id}.gguf`) }) {
      if (servingPath !== null) await writeFile(servingPath, '');
      const served = servingPath !== null;
      await parts.platform.db
        .insertInto('models')
        .values({
          id,
          project: null,
          kind: 'base',
          base: null,
          owned_by: 'base',
          license: JSON.stringify({ id: 'Apache-2.0', url: null }),
          source: 'import',
          reference: null,
          architecture: 'llama',
          parameters: 1000,
          context_length: 1000,
          format: 'Q8_0',
          serving_format: served ? 'Q8_0' : null,
          bytes: 1,
          sha256: 'a'.repeat(64),
          path: servingPath ?? home,
          serving_sha256: served ? 'a'.repeat(64) : null,
          serving_path: servingPath,
          job_id: null,
          golden_path: null,
          parity: null,
          created_at: new Date(),
        })
        .execute();
    },
  };
}
