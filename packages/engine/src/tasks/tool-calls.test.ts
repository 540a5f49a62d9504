// Calls of tools over a model of arithmetic: what it would rather say is noise, so only the grammar makes
// calls of it.
import { describe, expect, it } from 'vitest';
import { engineRequestSchema, type GenerationEvent, type ToolDefinition } from '@corral/contracts';
import { startFakeEngine, textOf } from '../engine-host.fake.ts';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import { createChatTemplate } from '../prompt/chat-template.ts';
import { createAnswerRules } from './answer-rules.ts';
import { GenerationTask, type GenerateRequest } from './generation-task.ts';

const add: ToolDefinition = {
  name: 'add',
  parameters: {
    type: 'object',
    properties: {
      a: { type: 'integer', minimum: 0, maximum: 99 },
      why: { type: 'string', maxLength: 4 },
    },
    required: ['a', 'why'],
    additionalProperties: false,
  },
};
const now: ToolDefinition = { name: 'now', parameters: { type: 'object', properties: {} } };
/** Short: every byte is a token here. */
const template =
  '{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}' +
  `{{ '<tool_call>{"name": "' + c.function.name + '", "arguments": ' + c.function.arguments | tojson + '}</tool_call>' }}{% endfor %}{% endfor %}`;
const prompt = (changes: object = {}) => ({
  kind: 'messages' as const,
  messages: [{ role: 'user' as const, content: 'x' }],
  tools: [add, now],
  chat_template: template,
  ...changes,
});
const options = { n_ctx: 512 };

/** What becomes of a generation whose model wants to write `script`, byte after byte, then to end. */
function runScript(script: string): GenerationEvent[] {
  const { vocabulary } = createFakeLibrary().loadModel('model.gguf');
  const chatTemplate = createChatTemplate(template, { bosToken: '', eosToken: '' });
  const request = engineRequestSchema.parse({
    type: 'generate',
    id: 'g',
    tenant: 't',
    prompt: prompt({ parallel_tool_calls: false }),
    sampling: { temperature: 0 },
    max_tokens: 300,
  }) as GenerateRequest;
  const events: GenerationEvent[] = [];
  const task = new GenerationTask({
    request,
    prompt: { text: '', tokens: [1], boundary: 0 },
    vocabulary,
    adapter: null,
    answer: createAnswerRules(vocabulary).rulesOf(request, chatTemplate),
    emit: (event) => events.push(event),
    fail: (_, error) => {
      throw error;
    },
  });
  const wanted = [...Buffer.from(script)];
  for (let i = 0; !task.finished; i++) {
    const row = new Float32Array(vocabulary.size);
    row[wanted[i] ?? vocabulary.eos ?? 0] = 9;
    // What it writes when it may not write what it wants.
    row[0x78] = 1;
    row[0x22] = 2;
    row[0x2c] = 3;
    task.acceptLogits(i, row);
  }
  return events;
}

function callsOf(events: readonly GenerationEvent[]) {
  const calls: { id: string; name: string; arguments: string }[] = [];
  for (const delta of events.flatMap((event) => event.tool_calls ?? [])) {
    if (delta.id !== undefined) calls.push({ id: delta.id, name: delta.name ?? '', arguments: '' });
    const call = calls[delta.index];
    if (call) call.arguments += delta.arguments;
  }
  return calls;
}

describe('tools', () => {
  it('are called when that is required, with arguments of their schema, streamed', async () => {
    const engine = await startFakeEngine(options);
    for (const seed of [1, 2, 3, 4]) {
      await engine.generate(`g${seed}`, {
        prompt: prompt({ tool_choice: 'required', parallel_tool_calls: false }),
        sampling: { seed },
        max_tokens: 130,
      });
      engine.run();
      const events = engine.events(`g${seed}`);
      expect(engine.finish(`g${seed}`)?.reason).toBe('tool_calls');
      expect(textOf(events)).toBe('');
      const [call, ...more] = callsOf(events);
      expect(more).toEqual([]);
      expect(call?.id).toMatch(/^call_\w{24}$/);
      const given = JSON.parse(call?.arguments ?? '') as { a: number };
      if (call?.name === 'add') expect(given.a).toBeLessThanOrEqual(99);
      else expect([call?.name, given]).toEqual(['now', {}]);
    }
  });

  it('are called by name', async () => {
    const engine = await startFakeEngine(options);
    await engine.generate('g', {
      prompt: prompt({ tool_choice: { name: 'add' } }),
      max_tokens: 130,
    });
    engine.run();
    const events = engine.events('g');
    expect(callsOf(events).map(({ name }) => name)).toEqual(['add']);
    // The arguments come in more than one piece.
    expect(events.filter((event) => event.tool_calls).length).toBeGreaterThan(3);
  });

  it('are left alone by noise under auto, and not offered under none', async () => {
    const engine = await startFakeEngine(options);
    for (const tool_choice of ['auto', 'none'] as const) {
      await engine.generate(tool_choice, { prompt: prompt({ tool_choice }), max_tokens: 20 });
      engine.run();
      expect(engine.finish(tool_choice)?.reason).toBe('length');
      expect(callsOf(engine.events(tool_choice))).toEqual([]);
      expect(textOf(engine.events(tool_choice))).not.toBe('');
    }
    const prompts = ['auto', 'none'].map((id) => engine.finish(id)?.prompt_tokens ?? 0);
    expect(prompts[1]).toBe(2);
    expect(prompts[0]).toBeGreaterThan(200);
  });

  it('see a call through once the model has begun it', () => {
    // The model wants this text; its string is too long and its number too large.
    const events = runScript(
      'Sure. <tool_call>{"name": "add", "arguments": {"a": 700, "why": "abcdefgh"}}</tool_call>',
    );
    expect(textOf(events)).toBe('Sure.');
    const [call] = callsOf(events);
    expect(call?.name).toBe('add');
    expect(JSON.parse(call?.arguments ?? '')).toMatchObject({
      a: 70,
      why: expect.stringMatching(/^.{4}$/) as string,
    });
    expect(events.at(-1)?.finish?.reason).toBe('tool_calls');
  });

  it('keep stop strings out of their arguments', async () => {
    const engine = await startFakeEngine(options);
    await engine.generate('g', {
      prompt: prompt({ tool_choice: { name: 'add' } }),
      stop: ['"', 'a', '}'],
      max_tokens: 130,
    });
    engine.run();
    expect(engine.finish('g')?.reason).toBe('tool_calls');
    expect(JSON.parse(callsOf(engine.events('g'))[0]?.arguments ?? '')).toHaveProperty('why');
  });

  it('end with length in the middle of a call', async () => {
    const engine = await startFakeEngine(options);
    await engine.generate('g', {
      prompt: prompt({ tool_choice: { name: 'add' } }),
      max_tokens: 45,
    });
    engine.run();
    expect(engine.finish('g')?.reason).toBe('length');
    expect(callsOf(engine.events('g'))[0]?.name).toBe('add');
  });

  it('are shown by render, with the template of the request', async () => {
    const engine = await startFakeEngine(options);
    await engine.send({ type: 'render', id: 'own', prompt: prompt() });
    await engine.send({
      type: 'render',
      id: 'given',
      prompt: prompt({ tools: [], chat_template: '{{ messages[-1].content }}!' }),
    });
    const textOfResult = (id: string): string => {
      const answer = engine.answer(id);
      return answer?.type === 'result' ? (answer.value as { text: string }).text : '';
    };
    expect(textOfResult('own')).toMatch(/"name": "add".*x$/);
    expect(textOfResult('given')).toBe('x!');
  });

  it.each([
    [
      'tools[0].function.parameters.properties.x.not',
      prompt({
        tools: [
          { ...add, strict: true, parameters: { type: 'object', properties: { x: { not: {} } } } },
        ],
      }),
    ],
    ['tools', prompt({ tools: [add, add] })],
    ['tool_choice', prompt({ tool_choice: { name: 'other' } })],
    ['chat_template', prompt({ chat_template: '{% if %}' })],
  ])('refuse what cannot be followed, naming %s', async (param, wrong) => {
    const engine = await startFakeEngine(options);
    await engine.generate('g', { prompt: wrong });
    expect(engine.errorOf('g')?.param).toBe(param);
    expect(engine.host.busy).toBe(false);
  });
});
