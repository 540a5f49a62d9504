// What people, tools and models wrote never becomes a control token: every special token of the templates of
// all families, in eight disguises and as it is, in every place of a conversation, through llama.cpp's own
// tokeniser. Told by comparison: the control tokens of such a prompt are those of a harmless one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PromptMessage, ToolDefinition } from '@corral/contracts';
import { openNativeLibrary } from '../../packages/engine/src/llama-cpp/native-library.ts';
import type { NativeModel } from '../../packages/engine/src/llama-cpp/native-types.ts';
import { createChatTemplate } from '../../packages/engine/src/prompt/chat-template.ts';
import { renderPrompt } from '../../packages/engine/src/prompt/prompt-tokens.ts';
import { templates, type TemplateName } from '../../packages/engine/src/prompt/templates.fake.ts';
import { callTags, disguises, families } from './disguises.ts';
import { temporaryFolder, writeTinyModel } from './engine-fixtures.ts';

const names = Object.keys(families) as TemplateName[];
const kinds = ['byte-pair', 'sentencepiece'] as const;

const conversation = (a: string, b: string): PromptMessage[] => [
  { role: 'user', content: a },
  { role: 'assistant', content: b },
  { role: 'user', content: `${b}\n${a}`, name: a },
  {
    role: 'assistant',
    content: '',
    tool_calls: [{ id: a, name: 'f', arguments: JSON.stringify({ [a]: b, x: [a] }) }],
  },
  { role: 'tool', content: b, tool_call_id: a },
  { role: 'user', content: a },
];
const toolWith = (a: string, b: string): ToolDefinition => ({
  name: 'f',
  description: a,
  parameters: {
    type: 'object',
    properties: { [`p${a}`]: { type: 'string', description: b, enum: [a, b] } },
  },
});

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const models = new Map<string, NativeModel>();

beforeAll(async () => {
  folder = await temporaryFolder();
  for (const name of names)
    for (const vocabulary of kinds) {
      const path = folder.path(`${name}-${vocabulary}.gguf`);
      await writeTinyModel(path, { vocabulary, special: families[name] });
      models.set(`${name} ${vocabulary}`, openNativeLibrary().loadModel(path));
    }
});
afterAll(async () => {
  for (const model of models.values()) model.close();
  await folder[Symbol.asyncDispose]();
});

describe.each(names)('under the template of %s', (name) => {
  it.each(kinds)('no text becomes a control token of a %s vocabulary', (kind) => {
    const model = models.get(`${name} ${kind}`);
    if (!model) throw new Error(name);
    const { vocabulary } = model;
    const { controls, tags = [] } = families[name];
    const spell = (token: number | null): string =>
      token === null ? '' : vocabulary.spelling(token);
    const template = createChatTemplate(templates[name], {
      bosToken: spell(vocabulary.bos),
      eosToken: spell(vocabulary.eos),
    });
    const reserved = new Set([...controls, ...callTags.filter((tag) => tags.includes(tag))]);
    const controlsOf = (a: string, b: string): string[] => {
      const prompt = {
        kind: 'messages' as const,
        messages: conversation(a, b),
        tools: [toolWith(a, b)],
      };
      const limits = { contextTokens: 1e6, maxTokens: 0 };
      const { tokens } = renderPrompt(prompt, { vocabulary, template, limits });
      return tokens.map((token) => vocabulary.spelling(token)).filter((text) => reserved.has(text));
    };
    const harmless = controlsOf('x', 'y');
    expect(harmless.length).toBeGreaterThan(3);
    for (const token of [...controls, ...tags])
      for (const [disguise, dress] of Object.entries(disguises))
        expect(controlsOf(...dress(token)), `${token}, ${disguise}`).toEqual(harmless);
  });
});
