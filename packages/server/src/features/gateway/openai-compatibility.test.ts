// The guide that says what of OpenAI's API is served, held to the schemas and tables that decide it, and
// those to what OpenAI's own client can send.
import {
  chatCompletionRequestSchema,
  completionRequestSchema,
  embeddingRequestSchema,
} from '@corral/contracts';
import { describe, expect, test } from 'vitest';
import { fieldsOfClient, tableUnder } from '../../testing/compatibility-guide.fake.ts';
import { endpoints, refusals, unused } from './request-fields.ts';
import type { Endpoint } from './request-fields.ts';

interface Described {
  readonly heading: string;
  readonly fields: readonly string[];
  /** Of OpenAI's client: file and interface. */
  readonly client: readonly [file: string, name: string];
}
const described: Readonly<Record<Endpoint, Described>> = {
  chat: {
    heading: 'Chat completions',
    fields: Object.keys(chatCompletionRequestSchema.shape),
    client: ['chat/completions/completions', 'ChatCompletionCreateParamsBase'],
  },
  completions: {
    heading: 'Text completions',
    fields: Object.keys(completionRequestSchema.shape),
    client: ['completions', 'CompletionCreateParamsBase'],
  },
  embeddings: {
    heading: 'Embeddings',
    fields: Object.keys(embeddingRequestSchema.shape),
    client: ['embeddings', 'EmbeddingCreateParams'],
  },
};

describe.each(endpoints)('%s', (endpoint) => {
  const { heading, fields, client } = described[endpoint];
  const whatIs = (field: string): string =>
    Object.hasOwn(refusals[endpoint], field)
      ? 'refused'
      : Object.hasOwn(unused[endpoint], field)
        ? 'no effect'
        : 'honoured';
  const known = new Set([
    ...fields,
    ...Object.keys(refusals[endpoint]),
    ...Object.keys(unused[endpoint]),
  ]);

  test('the guide says of every field what the code does', () => {
    const expected = [...known].map((field): [string, string] => [field, whatIs(field)]);
    expect(Object.fromEntries(tableUnder(heading))).toEqual(Object.fromEntries(expected));
  });

  test("every field of OpenAI's client is known", () => {
    const sent = fieldsOfClient(client);
    expect(sent.length).toBeGreaterThan(3);
    expect(sent.filter((field) => !known.has(field))).toEqual([]);
  });
});
