// `corral chat`: talk to a model, ask it once, or see what it would be shown.
import { appendFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { CorralClient } from '@corral/sdk';
import type OpenAI from 'openai';
import { converse } from '../chat/converse.ts';
import type { ConverseOptions, Lines } from '../chat/converse.ts';
import { messagesOf } from '../chat/slash-commands.ts';
import type { Conversation, SlashTools } from '../chat/slash-commands.ts';
import { streamAnswer } from '../chat/talk.ts';
import type { TalkSettings } from '../chat/talk.ts';
import { whileLoading } from '../chat/while-loading.ts';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, connectOpenAI, show, type Context } from '../context.ts';
import { exitCodes } from '../failures.ts';

const failure = 'The model did not answer.';

async function askOnce(
  context: Context,
  openai: OpenAI,
  conversation: Conversation,
): Promise<void> {
  const { io, json, signal } = context;
  const { model, settings } = conversation;
  const messages = messagesOf(conversation);
  const client = await connect(context);
  const answer = await whileLoading({ io, model, status: client.status }, (begun) => {
    const onText = (text: string): void => {
      begun();
      if (!json) io.out(text);
    };
    return streamAnswer(openai, { model, messages, settings }, { onText, signal });
  });
  if (json) show(context, { model, ...answer }, '');
  else io.out('\n');
  if (json) return;
  for (const { action, code } of answer.policy) {
    io.err(`${io.colors.dim(`policy: ${action} ${code}`)}\n`);
  }
}

const renderOf = (client: CorralClient, conversation: Conversation, signal: AbortSignal) =>
  client.render(
    {
      model: conversation.model,
      messages: messagesOf(conversation).map((message) => ({ ...message })),
    },
    { signal },
  );

async function showPrompt(context: Context, conversation: Conversation): Promise<void> {
  const { text, tokens, pieces } = await renderOf(
    await connect(context),
    conversation,
    context.signal,
  );
  const counted = context.io.colors.dim(`${tokens.length} tokens`);
  if (!context.json) context.io.err(`${counted}\n`);
  show(context, { model: conversation.model, text, tokens, pieces }, text);
}

/** The conversation at a terminal. Ctrl-C stops an answer; at the prompt it leaves. */
async function converseAtTerminal(
  context: Context,
  openai: OpenAI,
  { conversation, isPromptShown }: { conversation: Conversation; isPromptShown: boolean },
): Promise<number> {
  const { io } = context;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const leave = new AbortController();
  let answering: AbortController | null = null;
  terminal.on('SIGINT', () => (answering ?? leave).abort());
  terminal.once('close', () => leave.abort());
  context.signal.addEventListener('abort', () => leave.abort(), { once: true });
  const client = await connect(context);
  const lines: Lines = {
    next: (prompt) =>
      terminal.question(prompt, { signal: leave.signal }).catch((error: unknown) => {
        if (leave.signal.aborted) return null;
        throw error;
      }),
  };
  const tools: SlashTools = {
    async showPrompt(shown) {
      const { text, tokens } = await renderOf(client, shown, leave.signal);
      return `${text}\n(${tokens.length} tokens)`;
    },
    appendFile: (path, text) => appendFile(path, text),
  };
  const signalOfAnswer: ConverseOptions['answering'] = () => {
    const cut = new AbortController();
    answering = cut;
    return {
      signal: AbortSignal.any([cut.signal, leave.signal]),
      done: () => {
        answering = null;
      },
    };
  };
  try {
    const options = { io, openai, lines, tools, failure, showPrompt: isPromptShown };
    const waiting: ConverseOptions['waiting'] = (model, work) =>
      whileLoading({ io, model, status: client.status }, work);
    await converse({ ...options, waiting, answering: signalOfAnswer }, conversation);
    if (leave.signal.aborted) io.out('\n');
    return context.signal.aborted ? exitCodes.interrupted : exitCodes.ok;
  } finally {
    terminal.close();
  }
}

async function readStdin(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const piece of process.stdin) text += String(piece);
  return text.trim();
}

function settingsOf(input: Input): TalkSettings {
  const temperature = input.number('temperature', { min: 0, max: 2 });
  const max_tokens = input.integer('max-tokens', { min: 1, max: 1_000_000 });
  const seed = input.integer('seed', { min: 0, max: 0xffff_ffff });
  return {
    ...(temperature !== undefined && { temperature }),
    ...(max_tokens !== undefined && { max_tokens }),
    ...(seed !== undefined && { seed }),
  };
}

async function chat(context: Context, input: Input): Promise<number> {
  const conversation: Conversation = {
    model: input.arg(0),
    system: input.text('system') ?? null,
    said: [],
    settings: settingsOf(input),
  };
  const isPromptShown = input.flag('show-prompt');
  const openai = await connectOpenAI(context);
  const words = input.rest(1).join(' ');
  if (words === '' && context.io.inputInteractive && !context.json) {
    return converseAtTerminal(context, openai, { conversation, isPromptShown });
  }
  const question = words === '' ? await readStdin() : words;
  conversation.said = [{ role: 'user', content: question }];
  if (isPromptShown) await showPrompt(context, conversation);
  else await askOnce(context, openai, conversation);
  return exitCodes.ok;
}

export const chatCommand: CommandSpec = {
  name: 'chat',
  summary: 'talk to a model, or ask it once',
  details:
    'With a PROMPT, or with text on stdin, it answers once. Otherwise a conversation starts: /help shows what can be typed in it, a line that ends in a backslash goes on, Ctrl-C stops an answer.',
  args: [
    { name: 'MODEL', description: 'a base model or a name of "corral deploy list"' },
    { name: '[PROMPT...]', description: 'the question' },
  ],
  options: [
    { flags: '--system TEXT', description: 'instructions that stand before the conversation' },
    { flags: '--temperature NUMBER', description: '0 to 2; 0 takes the likeliest word each time' },
    { flags: '--max-tokens NUMBER', description: 'longest answer' },
    { flags: '--seed NUMBER', description: 'the same answer to the same question' },
    {
      flags: '--show-prompt',
      description:
        'print what the model would see, and ask nothing; in a conversation, before each answer',
    },
  ],
  examples: [
    { command: 'corral chat ferry', says: 'a conversation' },
    { command: 'corral chat ferry "When does the first boat leave?"', says: 'one answer' },
    { command: 'corral chat ferry --show-prompt "Hello"', says: 'template and all' },
    { command: 'corral chat ferry --json < question.txt', says: 'for a script' },
  ],
  failure,
  run: chat,
};
