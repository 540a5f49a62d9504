// The guide's table of fine-tuning jobs, field by field against a server: what it calls honoured is accepted
// and stands in the job, what it calls refused is refused by name, and no field of OpenAI's client is missing.
import { fileURLToPath } from 'node:url';
import { createFineTuningJobSchema } from '@corral/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fieldsOfClient, tableUnder } from '../../testing/compatibility-guide.fake.ts';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';
import { fakeModels } from '../../testing/models-port.fake.ts';

const table = tableUnder('Fine-tuning jobs');
const client = ['fine-tuning/jobs/jobs', 'JobCreateParams'] as const;
const dpo = { type: 'dpo', dpo: { hyperparameters: { beta: 0.3 } } };
const reinforcement = { type: 'reinforcement', reinforcement: {} };

/** Values that ask for something; what the job then says, where that is more than the value. */
const honoured: Readonly<Record<string, { value: unknown; says?: object }>> = {
  model: { value: 'tiny' },
  training_file: { value: null },
  validation_file: { value: null },
  method: { value: dpo, says: { method: { type: 'dpo' } } },
  hyperparameters: { value: { n_epochs: 3 }, says: { hyperparameters: { n_epochs: 3 } } },
  suffix: { value: 'harbour', says: {} },
  seed: { value: 11 },
  metadata: { value: { team: 'a' } },
  corral: {
    value: { config: { method: 'qlora' } },
    says: { corral: { config: { method: 'qlora' } } },
  },
};
/** A value that is refused, and one that asks for nothing. */
const refused: Readonly<Record<string, { value: unknown; nothing: unknown }>> = {
  integrations: { value: [{ type: 'wandb', wandb: { project: 'p' } }], nothing: [] },
};
/** Of fields that are honoured: what the remarks except. */
const excepted: readonly (readonly [body: object, param: string])[] = [
  [{ method: reinforcement }, 'method.type'],
  [{ method: { ...dpo, supervised: {} } }, 'method.supervised'],
  [{ hyperparameters: { beta: 0.1 } }, 'hyperparameters.beta'],
  [{ hyperparameters: { warmth: 1 } }, 'hyperparameters.warmth'],
];

let server: TestApp;
let file: string;
beforeAll(async () => {
  const { models, parity } = fakeModels();
  const trainer = new URL('../../testing/trainer-worker.fake.ts', import.meta.url);
  const trainerEntry = fileURLToPath(trainer);
  server = await createTestApp({ substitutes: { models, parity, trainerEntry } });
  file = (await server.upload('{"script":{}}\n{}\n')).json.id;
});
afterAll(() => server.close());

async function create(body: object) {
  const made = await server.call('POST', '/v1/fine_tuning/jobs', {
    body: { model: 'tiny', training_file: file, ...body },
  });
  if (made.status === 200) await server.call('POST', `/v1/fine_tuning/jobs/${made.json.id}/cancel`);
  return made;
}

test('the guide names the fields that the code knows, and those of OpenAI’s client', () => {
  const known = [...Object.keys(createFineTuningJobSchema.shape), ...Object.keys(refused)];
  expect([...table.keys()].toSorted()).toEqual(known.toSorted());
  const sent = fieldsOfClient(client);
  expect(sent.length).toBeGreaterThan(5);
  expect(sent.filter((field) => !table.has(field))).toEqual([]);
  const verdicts = [
    ...Object.keys(honoured).map((field) => [field, 'honoured']),
    ...Object.keys(refused).map((field) => [field, 'refused']),
  ];
  expect(Object.fromEntries(table)).toEqual(Object.fromEntries(verdicts));
});

test.each(Object.keys(honoured))('%s is honoured', async (field) => {
  const { value, says } = honoured[field] ?? { value: null };
  const given = { [field]: value ?? file };
  const { status, json } = await create(given);
  expect({ status, json }).toMatchObject({ status: 200, json: says ?? given });
});

test.each(Object.entries(refused))('%s is refused by name', async (field, { value, nothing }) => {
  const { status, json } = await create({ [field]: value });
  expect([status, json.error.code, json.error.param]).toEqual([
    400,
    'unsupported_parameter',
    field,
  ]);
  expect((await create({ [field]: nothing })).status).toBe(200);
});

test.each(excepted)('%j is refused as %s', async (body, param) => {
  const { status, json } = await create(body);
  expect([status, json.error.code, json.error.param]).toEqual([
    400,
    'unsupported_parameter',
    param,
  ]);
});
