// What can be typed in a conversation instead of a question: one table. A command changes the conversation
// and says what to show or to ask; it knows no terminal and reaches the server only through its tools.
import type { Message, TalkSettings } from './talk.ts';

export interface Conversation {
  model: string;
  system: string | null;
  said: Message[];
  settings: TalkSettings;
}

export interface SlashTools {
  /** The prompt of these messages as the model sees it. */
  showPrompt(conversation: Conversation): Promise<string>;
  appendFile(path: string, text: string): Promise<void>;
}

export interface Effect {
  /** For the person. */
  readonly say?: string;
  /** Asks this, as if it had been typed. */
  readonly ask?: string;
  readonly leave?: boolean;
}

interface SlashCommand {
  readonly usage: string;
  readonly says: string;
  readonly run: (
    conversation: Conversation,
    argument: string,
    tools: SlashTools,
  ) => Effect | Promise<Effect>;
}

export const messagesOf = ({ system, said }: Conversation): Message[] =>
  system === null ? said : [{ role: 'system', content: system }, ...said];

const bounds: Readonly<Record<keyof TalkSettings, readonly [min: number, max: number]>> = {
  temperature: [0, 2],
  top_p: [0.001, 1],
  top_k: [0, 1_000_000],
  max_tokens: [1, 1_000_000],
  seed: [0, 0xffff_ffff],
};
const isSetting = (name: string): name is keyof TalkSettings => Object.hasOwn(bounds, name);
const wholeNumbers: ReadonlySet<string> = new Set(['top_k', 'max_tokens', 'seed']);

const shownSettings = ({ settings }: Conversation): string => {
  const set = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return set.length === 0 ? 'all as the server has them' : set.join(', ');
};

function set(conversation: Conversation, argument: string): Effect {
  const [name = '', value] = argument.split(/\s+/);
  if (name === '') return { say: shownSettings(conversation) };
  if (!isSetting(name))
    return { say: `There is no "${name}"; there are ${Object.keys(bounds).join(', ')}.` };
  if (value === undefined || value === '') {
    const { [name]: _gone, ...rest } = conversation.settings;
    conversation.settings = rest;
    return { say: `${name} is the server's` };
  }
  const [min, max] = bounds[name];
  const number = Number(value);
  const fits = number >= min && number <= max;
  if (!fits || (wholeNumbers.has(name) && !Number.isInteger(number))) {
    return { say: `"${value}" does not fit: ${name} goes from ${min} to ${max}.` };
  }
  conversation.settings = { ...conversation.settings, [name]: number };
  return { say: `${name} is ${number}` };
}

/** Takes back the last question with what was answered. */
function undo(conversation: Conversation): string | null {
  const at = conversation.said.findLastIndex(({ role }) => role === 'user');
  const question = conversation.said[at]?.content;
  if (question === undefined) return null;
  conversation.said = conversation.said.slice(0, at);
  return question;
}

const nothingSaid: Effect = { say: 'nothing has been said yet' };

export const slashCommands: Readonly<Record<string, SlashCommand>> = {
  help: { usage: '/help', says: 'shows this', run: () => ({ say: slashHelp() }) },
  exit: { usage: '/exit', says: 'ends, as Ctrl-D does', run: () => ({ leave: true }) },
  reset: {
    usage: '/reset',
    says: 'forgets what was said',
    run(conversation) {
      conversation.said = [];
      return { say: 'forgotten' };
    },
  },
  retry: {
    usage: '/retry',
    says: 'asks the last question again',
    run(conversation) {
      const question = undo(conversation);
      return question === null ? nothingSaid : { ask: question };
    },
  },
  undo: {
    usage: '/undo',
    says: 'takes back the last question and its answer',
    run: (conversation) => (undo(conversation) === null ? nothingSaid : { say: 'taken back' }),
  },
  system: {
    usage: '/system [TEXT]',
    says: 'sets the instructions, or shows them; "-" takes them away',
    run(conversation, argument) {
      if (argument === '-') conversation.system = null;
      else if (argument !== '') conversation.system = argument;
      return { say: conversation.system ?? 'no instructions' };
    },
  },
  model: {
    usage: '/model [NAME]',
    says: 'goes on with another model, or says which answers',
    run(conversation, argument) {
      if (argument !== '') conversation.model = argument;
      return { say: conversation.model };
    },
  },
  set: {
    usage: '/set [NAME [VALUE]]',
    says: `${Object.keys(bounds).join(', ')}; without a value the server's own`,
    run: set,
  },
  prompt: {
    usage: '/prompt',
    says: 'shows what the model sees of all this',
    run: async (conversation, _argument, tools) =>
      messagesOf(conversation).length === 0
        ? nothingSaid
        : { say: await tools.showPrompt(conversation) },
  },
  save: {
    usage: '/save FILE',
    says: 'adds the conversation to FILE as a row of training data',
    async run(conversation, path, tools) {
      if (path === '') return { say: 'Give a file: /save rows.jsonl' };
      if (conversation.said.length === 0) return nothingSaid;
      await tools.appendFile(path, `${JSON.stringify({ messages: messagesOf(conversation) })}\n`);
      return { say: `one row added to ${path}` };
    },
  },
};
const otherNames: Readonly<Record<string, string>> = { quit: 'exit', q: 'exit', '?': 'help' };

function slashHelp(): string {
  const all = Object.values(slashCommands);
  const width = Math.max(...all.map(({ usage }) => usage.length));
  return all.map(({ usage, says }) => `${usage.padEnd(width)}  ${says}`).join('\n');
}

/** Carries out a line that begins with a slash. */
export async function runSlash(
  line: string,
  conversation: Conversation,
  tools: SlashTools,
): Promise<Effect> {
  const [, word = '', argument = ''] = /^\/(\S*)\s*([^]*)$/.exec(line) ?? [];
  const name = otherNames[word] ?? word;
  const command = Object.hasOwn(slashCommands, name) ? slashCommands[name] : undefined;
  if (!command) return { say: `There is no /${word}.\n${slashHelp()}` };
  return command.run(conversation, argument.trim(), tools);
}
