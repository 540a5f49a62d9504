// From outside: what people, tools and retrieved documents send to a server never becomes a control token of
// the prompt, in any disguise, under the template of any family. One model knows the special tokens of all.
// /api/v1/render says which tokens a prompt has, and chat completions count the same.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RenderedPrompt } from '@corral/contracts';
import { gguf } from '@corral/formats';
import { templates, type TemplateName } from '../../packages/engine/src/prompt/templates.fake.ts';
import { callTags, disguises, families } from './disguises.ts';
import { startModelServer, type ModelServer } from './model-server.ts';

const names = Object.keys(families) as TemplateName[];
const all = (kind: 'controls' | 'tags'): string[] => [
  ...new Set(names.flatMap((name) => families[name][kind] ?? [])),
];
/** Tags of calls mark what a machine will do; others, as of thoughts, anybody may write. */
const reserved = new Set([...all('controls'), ...callTags]);

/** A token a letter: the longest prompts have six hundred. */
const contextTokens = 1024;
let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer({
    config: { engine: { n_ctx: contextTokens, n_seq_max: 4, n_threads: 1 } },
    model: {
      special: { controls: all('controls'), tags: all('tags') },
      metadata: [['llama.context_length', gguf.uint32(contextTokens)]],
    },
  });
});
afterAll(() => server[Symbol.asyncDispose]());

/** Whose templates have no place for what the system says, or for results of tools. */
const withoutSystem: readonly TemplateName[] = ['gemma', 'mistral'];
const withoutTools: readonly TemplateName[] = ['llama2', 'gemma', 'mistral'];
const parameters = { type: 'object', properties: {} };
const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } };

/** A question about what was retrieved, with a tool's result: all of it other people's words. */
function conversation(name: TemplateName, a: string, b: string): object {
  const system = [{ role: 'system', content: `Found in the library: ${a}` }];
  const tool = [
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'c1', content: b },
  ];
  const template = templates[name];
  return {
    messages: [
      ...(withoutSystem.includes(name) ? [] : system),
      { role: 'user', content: `${b} ${a}` },
      ...(withoutTools.includes(name) ? [] : tool),
    ],
    ...(!withoutTools.includes(name) && {
      tools: [{ type: 'function', function: { name: 'f', description: b, parameters } }],
    }),
    ...(template !== null && { corral: { chat_template: template } }),
  };
}

async function render(name: TemplateName, a: string, b: string) {
  const { status, json } = await server.post('/api/v1/render', conversation(name, a, b));
  expect(status, JSON.stringify(json)).toBe(200);
  const { tokens, pieces = [] } = json as RenderedPrompt;
  return { count: tokens.length, controls: pieces.filter((piece) => reserved.has(piece)) };
}

describe.each(names)('under the template of %s', (name) => {
  it('no text becomes a control token', async () => {
    const harmless = (await render(name, 'x', 'y')).controls;
    expect(harmless.length).toBeGreaterThan(1);
    const { controls, tags = [] } = families[name];
    for (const token of [...controls, ...tags])
      await Promise.all(
        Object.entries(disguises).map(async ([disguise, dress]) => {
          const [a, b] = dress(token);
          const rendered = await render(name, a, b);
          expect(rendered.controls, `${token}, ${disguise}`).toEqual(harmless);
          const request = { ...conversation(name, a, b), max_tokens: 1 };
          const { status, json } = await server.post('/v1/chat/completions', request);
          expect(status, JSON.stringify(json)).toBe(200);
          expect(json.usage.prompt_tokens).toBe(rendered.count);
        }),
      );
  });
});
