// The conversation at a terminal: lines in, answers out as they come. An answer that fails is reported and
// the conversation goes on. Knows where lines come from only as a function.
import type OpenAI from 'openai';
import { describeFailure, formatFailure } from '../failures.ts';
import type { Io } from '../io.ts';
import { messagesOf, runSlash } from './slash-commands.ts';
import type { Conversation, Effect, SlashTools } from './slash-commands.ts';
import { describeAnswer, streamAnswer } from './talk.ts';

/** Where questions come from. */
export interface Lines {
  /** Null: the person has left. */
  next(prompt: string): Promise<string | null>;
}

export interface ConverseOptions {
  readonly io: Io;
  readonly openai: OpenAI;
  readonly lines: Lines;
  readonly tools: SlashTools;
  readonly failure: string;
  /** Shows the prompt before each answer. */
  readonly showPrompt: boolean;
  /** A signal for one answer: Ctrl-C stops it and not the conversation. */
  readonly answering: () => { readonly signal: AbortSignal; readonly done: () => void };
  /** Says why an answer has not begun; its work calls `begun` when it has. */
  readonly waiting?: <T>(model: string, work: (begun: () => void) => Promise<T>) => Promise<T>;
}

async function answer(
  options: ConverseOptions,
  conversation: Conversation,
  question: string,
): Promise<void> {
  const { io, openai, tools, showPrompt } = options;
  const asked = [...conversation.said, { role: 'user', content: question } as const];
  const messages = messagesOf({ ...conversation, said: asked });
  if (showPrompt) {
    io.err(`${io.colors.dim(await tools.showPrompt({ ...conversation, said: asked }))}\n`);
  }
  const { signal, done } = options.answering();
  let content = '';
  const { model, settings } = conversation;
  const ask = (begun: () => void): ReturnType<typeof streamAnswer> => {
    const onText = (piece: string): void => {
      begun();
      content += piece;
      io.out(piece);
    };
    return streamAnswer(openai, { model, messages, settings }, { onText, signal });
  };
  try {
    const given = await (options.waiting?.(model, ask) ?? ask(() => undefined));
    io.out('\n');
    io.err(`${io.colors.dim(describeAnswer(given))}\n`);
  } catch (error) {
    if (!signal.aborted) throw error;
    io.out('\n');
    io.err(`${io.colors.dim('stopped')}\n`);
  } finally {
    done();
  }
  // What was said before a stop was said.
  if (content !== '') conversation.said = [...asked, { role: 'assistant', content }];
}

/** A line that ends in a backslash goes on in the next. */
async function readInput({ lines, io }: ConverseOptions): Promise<string | null> {
  let text = '';
  for (let prompt = '> '; ; prompt = '. ') {
    const line = await lines.next(io.colors.cyan(prompt));
    if (line === null) return null;
    if (!line.endsWith('\\')) return (text + line).trim();
    text += `${line.slice(0, -1)}\n`;
  }
}

/** Until the person leaves. */
export async function converse(
  options: ConverseOptions,
  conversation: Conversation,
): Promise<void> {
  const { io, tools } = options;
  const { bold, dim } = io.colors;
  io.err(`${bold(conversation.model)}  ${dim('/help shows what else can be typed')}\n`);
  for (;;) {
    const text = await readInput(options);
    if (text === null) return;
    if (text === '') continue;
    try {
      const effect: Effect = text.startsWith('/')
        ? await runSlash(text, conversation, tools)
        : { ask: text };
      if (effect.leave) return;
      if (effect.say !== undefined) io.err(`${dim(effect.say)}\n`);
      if (effect.ask !== undefined) await answer(options, conversation, effect.ask);
    } catch (error) {
      io.err(formatFailure(options.failure, describeFailure(error), io.colors));
    }
  }
}
