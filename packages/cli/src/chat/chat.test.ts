// Lines typed in a conversation, and what they do to it. The server is a scripted client.
import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { keepingIo } from '../fakes/harness.fake.ts';
import { converse } from './converse.ts';
import { slashCommands } from './slash-commands.ts';
import type { Conversation } from './slash-commands.ts';
import { describeAnswer } from './talk.ts';

interface Seen {
  readonly model: string;
  readonly messages: readonly { role: string; content: string }[];
}

/** Answers "re: QUESTION"; fails on "fail". */
function scriptedClient(seen: Seen[]): OpenAI {
  const create = async (request: Seen) => {
    const question = request.messages.at(-1)?.content ?? '';
    seen.push(request);
    if (question === 'fail') throw new Error('out of order');
    return (async function* () {
      yield { choices: [{ delta: { content: 're: ' }, finish_reason: null }] };
      yield { choices: [{ delta: { content: question }, finish_reason: 'stop' }] };
    })();
  };
  return { chat: { completions: { create } } } as unknown as OpenAI;
}

async function talk(...typed: string[]) {
  const { io, kept } = keepingIo();
  const seen: Seen[] = [];
  const saved: string[] = [];
  const conversation: Conversation = { model: 'm', system: null, said: [], settings: {} };
  const left = [...typed];
  await converse(
    {
      io,
      openai: scriptedClient(seen),
      lines: { next: async () => left.shift() ?? null },
      tools: {
        showPrompt: async ({ said }) => `<${said.map(({ content }) => content).join('|')}>`,
        appendFile: async (path, text) => void saved.push(`${path} ${text}`),
      },
      failure: 'The model did not answer.',
      showPrompt: false,
      answering: () => ({ signal: new AbortController().signal, done: () => undefined }),
    },
    conversation,
  );
  return { ...kept, seen, saved, conversation, left };
}
const contents = ({ messages }: Seen) => messages.map(({ content }) => content);

describe('a conversation', () => {
  it('remembers what was said', async () => {
    const { seen, out } = await talk('one', 'two');
    expect(out).toBe('re: one\nre: two\n');
    expect(seen.map(contents)).toEqual([['one'], ['one', 're: one', 'two']]);
  });

  it('goes on after a failure, without the question that failed', async () => {
    const { seen, err } = await talk('fail', 'two');
    expect(err).toContain('✗ The model did not answer.');
    expect(seen.map(contents)).toEqual([['fail'], ['two']]);
  });

  it('joins lines that end in a backslash', async () => {
    const { seen } = await talk('one \\', 'two');
    expect(contents(seen[0] as Seen)).toEqual(['one \ntwo']);
  });

  it.each(['/exit', '/quit', '/q'])('%s ends it', async (line) => {
    expect((await talk(line, 'never')).left).toEqual(['never']);
  });

  it('forgets, takes back, and asks again', async () => {
    expect((await talk('one', '/reset', 'two')).seen.map(contents)).toEqual([['one'], ['two']]);
    expect((await talk('one', '/undo', 'two')).seen.map(contents)).toEqual([['one'], ['two']]);
    const { seen, conversation } = await talk('one', '/retry');
    expect(seen.map(contents)).toEqual([['one'], ['one']]);
    expect(conversation.said).toHaveLength(2);
    expect((await talk('/retry', '/undo')).err).toContain('nothing has been said yet');
  });

  it('changes instructions, model and settings', async () => {
    const { seen, conversation } = await talk(
      '/system Be brief.',
      '/model other',
      '/set temperature 0.5',
      '/set seed 7',
      '/set seed',
      'one',
    );
    expect(seen[0]).toMatchObject({
      model: 'other',
      temperature: 0.5,
      messages: [{ role: 'system', content: 'Be brief.' }, { content: 'one' }],
    });
    expect(conversation.settings).toEqual({ temperature: 0.5 });
    expect((await talk('/system x', '/system -')).conversation.system).toBeNull();
  });

  it.each([
    ['/set temperature 3', 'goes from 0 to 2'],
    ['/set seed 1.5', '"1.5" does not fit'],
    ['/set colour red', 'There is no "colour"'],
    ['/set', 'all as the server has them'],
    ['/nonsense', 'There is no /nonsense'],
    ['/save', 'Give a file'],
    ['/prompt', 'nothing has been said yet'],
  ])('%s says what is wrong and changes nothing', async (line, text) => {
    const { err, conversation } = await talk(line);
    expect(err).toContain(text);
    expect(conversation.settings).toEqual({});
  });

  it('shows the prompt and saves a row of training data', async () => {
    const { err, saved } = await talk('/system s', 'one', '/prompt', '/save rows.jsonl');
    expect(err).toContain('<one|re: one>');
    expect(saved).toEqual([
      'rows.jsonl {"messages":[{"role":"system","content":"s"},' +
        '{"role":"user","content":"one"},{"role":"assistant","content":"re: one"}]}\n',
    ]);
  });

  it('explains every command', async () => {
    const { err } = await talk('/?');
    for (const { usage, says } of Object.values(slashCommands)) {
      expect(err).toContain(usage);
      expect(err).toContain(says);
    }
  });
});

it('says of an answer what a person may want to know', () => {
  const usage = {
    prompt_tokens: 20,
    completion_tokens: 11,
    total_tokens: 31,
    prompt_tokens_details: { cached_tokens: 16 },
  };
  const notice = { code: 'P-1', category: 'c', pack: 'p', rule: 'r', appeal: null };
  const policy = [{ ...notice, action: 'redact' as const }];
  const answer = { content: 'x', finish_reason: 'length', usage, policy, seconds: 2 };
  expect(describeAnswer(answer)).toBe(
    '20 + 11 tokens · 16 of the prompt from the cache · 5.0 tok/s · ended by length · policy: redact P-1',
  );
});
