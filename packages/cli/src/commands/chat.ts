// `corral chat`: talk to a model, or ask it once. Streams through the official client.
import { createInterface } from 'node:readline/promises';
import type OpenAI from 'openai';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connectOpenAI, show, type Context } from '../context.ts';
import { exitCodes } from '../failures.ts';

type Message = { role: 'system' | 'user' | 'assistant'; content: string };
type Usage = OpenAI.CompletionUsage;

interface Talk {
  readonly openai: OpenAI;
  readonly model: string;
  readonly settings: { readonly temperature?: number; readonly max_tokens?: number };
}

interface Answer {
  readonly content: string;
  readonly finish_reason: string | null;
  readonly usage: Usage | null;
}

/** Streams one answer; `onText` sees the pieces. */
async function streamAnswer(
  { openai, model, settings }: Talk,
  messages: readonly Message[],
  options: { readonly onText: (text: string) => void; readonly signal: AbortSignal },
): Promise<Answer> {
  const stream = await openai.chat.completions.create(
    {
      model,
      messages: [...messages],
      stream: true,
      stream_options: { include_usage: true },
      ...settings,
    },
    { signal: options.signal },
  );
  let content = '';
  let finish: string | null = null;
  let usage: Usage | null = null;
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    const text = choice?.delta.content ?? '';
    if (text !== '') options.onText(text);
    content += text;
    finish = choice?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  return { content, finish_reason: finish, usage };
}

async function askOnce(context: Context, talk: Talk, messages: readonly Message[]): Promise<void> {
  const { io, json, signal } = context;
  const answer = await streamAnswer(talk, messages, {
    onText: (text) => json || io.out(text),
    signal,
  });
  if (json) show(context, { model: talk.model, ...answer }, '');
  else io.out('\n');
}

const help = '/exit ends, /reset forgets what was said, /help shows this';

/** The conversation at a terminal. Ctrl-C stops an answer; at the prompt it leaves. */
async function converse(context: Context, talk: Talk, system: readonly Message[]): Promise<number> {
  const { io } = context;
  const { bold, dim, cyan } = io.colors;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const leave = new AbortController();
  let answering: AbortController | null = null;
  lines.on('SIGINT', () => (answering ?? leave).abort());
  lines.once('close', () => leave.abort());
  context.signal.addEventListener('abort', () => leave.abort(), { once: true });
  io.err(`${bold(talk.model)}  ${dim(help)}\n`);
  let said: Message[] = [...system];
  try {
    for (;;) {
      const text = (await lines.question(cyan('> '), { signal: leave.signal })).trim();
      if (text === '') continue;
      if (text === '/exit' || text === '/quit') return exitCodes.ok;
      if (text === '/reset') said = [...system];
      if (text.startsWith('/')) {
        io.err(`${dim(text === '/reset' ? 'forgotten' : help)}\n`);
        continue;
      }
      answering = new AbortController();
      const question: Message = { role: 'user', content: text };
      const cut = answering.signal;
      const answer = await streamAnswer(talk, [...said, question], {
        onText: (piece) => io.out(piece),
        signal: AbortSignal.any([cut, leave.signal]),
      }).catch((error: unknown) => {
        if (cut.aborted) return null;
        throw error;
      });
      answering = null;
      io.out('\n');
      if (answer !== null) said.push(question, { role: 'assistant', content: answer.content });
    }
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    io.out('\n');
    return context.signal.aborted ? exitCodes.interrupted : exitCodes.ok;
  } finally {
    lines.close();
  }
}

async function readStdin(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const piece of process.stdin) text += String(piece);
  return text.trim();
}

async function chat(context: Context, input: Input): Promise<number> {
  const system = input.text('system');
  const temperature = input.number('temperature', { min: 0, max: 2 });
  const max_tokens = input.integer('max-tokens', { min: 1, max: 1_000_000 });
  const talk: Talk = {
    openai: await connectOpenAI(context),
    model: input.arg(0),
    settings: {
      ...(temperature !== undefined && { temperature }),
      ...(max_tokens !== undefined && { max_tokens }),
    },
  };
  const start: Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const words = input.rest(1).join(' ');
  if (words === '' && context.io.inputInteractive && !context.json) {
    return converse(context, talk, start);
  }
  const prompt = words === '' ? await readStdin() : words;
  await askOnce(context, talk, [...start, { role: 'user', content: prompt }]);
  return exitCodes.ok;
}

export const chatCommand: CommandSpec = {
  name: 'chat',
  summary: 'talk to a model, or ask it once',
  details: `With a PROMPT, or with text on stdin, it answers once. Otherwise a conversation starts: ${help}.`,
  args: [
    { name: 'MODEL', description: 'a base model or a name of "corral deploy list"' },
    { name: '[PROMPT...]', description: 'the question' },
  ],
  options: [
    { flags: '--system TEXT', description: 'instructions that stand before the conversation' },
    { flags: '--temperature NUMBER', description: '0 to 2; 0 takes the likeliest word each time' },
    { flags: '--max-tokens NUMBER', description: 'longest answer' },
  ],
  examples: [
    { command: 'corral chat ferry', says: 'a conversation' },
    { command: 'corral chat ferry "When does the first boat leave?"', says: 'one answer' },
    { command: 'corral chat ferry --json < question.txt', says: 'for a script' },
  ],
  failure: 'The model did not answer.',
  run: chat,
};
