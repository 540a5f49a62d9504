// A chat template that never mixes trust: messages are rendered with placeholders in place of their
// text, and the result is cut at the placeholders into pieces, the template's own and the messages'.
//
// The rule (the serving engine follows the same one, and parity compares the ids):
//  * the rendered template is split at message contents; each piece is tokenised by itself; the ids are
//    concatenated; template pieces with control tokens on, contents (and names) with them off;
//  * where the template trims a content (`| trim`, `.strip()`), the content is trimmed before that;
//  * "developer" is rendered as "system"; strftime_now and other clocks are not defined for templates;
//  * a model without a template gets ChatML.
// A template that changes contents in other ways cannot be followed: `matches` says so.
import { Template } from '@huggingface/jinja';
import { CorralError } from '@corral/contracts';
import type { ChatMessage } from './example.ts';
import { RowError } from './row-error.ts';

const chatMl = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`;

/** A part of a rendered prompt: the template's words, or the text of a message. */
export type Piece =
  | { readonly kind: 'template'; readonly text: string }
  | {
      readonly kind: 'content' | 'name';
      readonly text: string;
      /** Index into the messages. */
      readonly message: number;
    };

interface RenderOptions {
  readonly tools?: readonly unknown[] | undefined;
  readonly addGenerationPrompt: boolean;
}

export interface ChatTemplate {
  /** Throws RowError when the template itself refuses the messages. */
  render(messages: readonly ChatMessage[], options: RenderOptions): Piece[];
  /** Whether the pieces, joined, are what the template makes of the messages as they are. */
  matches(messages: readonly ChatMessage[], options: RenderOptions): boolean;
}

type SkeletonPiece =
  | { readonly kind: 'template'; readonly text: string }
  | {
      readonly kind: 'content' | 'name';
      readonly message: number;
      readonly trimStart: boolean;
      readonly trimEnd: boolean;
    };

// Private-use characters; the em spaces show whether the template trims.
const open = '\uE0F8';
const close = '\uE0F9';
const pad = '\u2003';
const placeholder = (kind: 'content' | 'name', message: number): string =>
  `${pad}${open}${kind}:${message}${close}${pad}`;
const placeholderPattern = /(\u2003?)\uE0F8(content|name):(\d+)\uE0F9(\u2003?)/g;

/** Conversations of one shape share their skeleton; real data sets have few shapes. */
const maxCachedSkeletons = 512;

const withPlaceholders = (message: ChatMessage, index: number): ChatMessage => ({
  ...message,
  content: message.content === '' ? '' : placeholder('content', index),
  ...(message.name === undefined ? {} : { name: placeholder('name', index) }),
});

function splitSkeleton(rendered: string): SkeletonPiece[] {
  const pieces: SkeletonPiece[] = [];
  let start = 0;
  for (const match of rendered.matchAll(placeholderPattern)) {
    if (match.index > start) {
      pieces.push({ kind: 'template', text: rendered.slice(start, match.index) });
    }
    pieces.push({
      kind: match[2] === 'name' ? 'name' : 'content',
      message: Number(match[3]),
      trimStart: match[1] === '',
      trimEnd: match[4] === '',
    });
    start = match.index + match[0].length;
  }
  if (start < rendered.length) pieces.push({ kind: 'template', text: rendered.slice(start) });
  return pieces;
}

/** A message whose text the template leaves out would be lost without a word. */
function checkNothingLost(
  pieces: readonly SkeletonPiece[],
  messages: readonly ChatMessage[],
  tools: readonly unknown[] = [],
): void {
  checkToolsShown(pieces, messages, tools);
  const seen = new Set(pieces.map((piece) => (piece.kind === 'content' ? piece.message : -1)));
  const lost = messages.findIndex(({ content }, index) => content !== '' && !seen.has(index));
  if (lost < 0) return;
  throw new RowError(
    `the model's chat template leaves out messages[${lost}] (${messages[lost]?.role})`,
    'write the conversation as this model expects it',
  );
}

/** The names by which tools are defined: OpenAI's form, or the function alone. */
function toolName(tool: unknown): string | null {
  const { function: inner, name } = tool as { function?: { name?: unknown }; name?: unknown };
  const found = inner?.name ?? name;
  return typeof found === 'string' ? found : null;
}

/** Many templates know no tools: their calls would be learned as empty answers. */
function checkToolsShown(
  pieces: readonly SkeletonPiece[],
  messages: readonly ChatMessage[],
  tools: readonly unknown[],
): void {
  const words = pieces.map((piece) => (piece.kind === 'template' ? piece.text : '')).join('\n');
  for (const [index, { tool_calls: calls }] of messages.entries()) {
    const lost = calls?.find((call) => !words.includes(call.function.name));
    if (!lost) continue;
    throw new RowError(
      `the model's chat template leaves out the call of "${lost.function.name}" in messages[${index}]`,
      'use a model whose template knows tools, or write the call as content',
    );
  }
  const unseen = tools.map(toolName).find((name) => name !== null && !words.includes(name));
  if (unseen === undefined) return;
  throw new RowError(
    `the model's chat template leaves out the definition of the tool "${unseen}"`,
    'use a model whose template knows tools, or describe them in a system message',
  );
}

function fillPiece(piece: SkeletonPiece, messages: readonly ChatMessage[]): Piece {
  if (piece.kind === 'template') return piece;
  const { kind, message, trimStart, trimEnd } = piece;
  const source = messages[message];
  let text = (kind === 'name' ? source?.name : source?.content) ?? '';
  if (trimStart) text = text.trimStart();
  if (trimEnd) text = text.trimEnd();
  return { kind, message, text };
}

const skeletonKey = (messages: readonly ChatMessage[], options: RenderOptions): string | null => {
  if (options.tools || messages.some((message) => message.tool_calls)) return null;
  const shapes = messages.map(
    ({ role, content, name }) =>
      `${role}${content === '' ? '-' : ''}${name === undefined ? '' : '@'}`,
  );
  return `${shapes.join(' ')}${options.addGenerationPrompt ? ' +' : ''}`;
};

/**
 * The library defines strftime_now; a prompt that depends on the day could not be compared. The empty
 * expression keeps a newline at the start of the template from being taken as the end of the block.
 */
const noClock = `{% set strftime_now = undefined %}{{ '' }}`;

function parseTemplate(source: string, path: string): Template {
  try {
    return new Template(noClock + source);
  } catch (error) {
    const reason = `its chat template cannot be read (${error instanceof Error ? error.message : String(error)})`;
    throw new CorralError('model_unsupported', { params: { path, reason }, cause: error });
  }
}

/** A template from Jinja source. Throws CorralError `model_unsupported` when it cannot be parsed. */
export function createChatTemplate(
  source: string | null,
  tokens: { readonly bosToken: string; readonly eosToken: string },
  path: string,
): ChatTemplate {
  const template = parseTemplate(source ?? chatMl, path);
  const cache = new Map<string, SkeletonPiece[]>();

  const run = (messages: readonly ChatMessage[], options: RenderOptions): string => {
    try {
      return template.render({
        messages,
        tools: options.tools,
        add_generation_prompt: options.addGenerationPrompt,
        bos_token: tokens.bosToken,
        eos_token: tokens.eosToken,
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new RowError(
        `the model's chat template refuses it: ${why}`,
        'write the conversation as this model expects it',
      );
    }
  };
  const skeleton = (messages: readonly ChatMessage[], options: RenderOptions): SkeletonPiece[] => {
    const key = skeletonKey(messages, options);
    const known = key === null ? undefined : cache.get(key);
    if (known) return known;
    const pieces = splitSkeleton(run(messages.map(withPlaceholders), options));
    checkNothingLost(pieces, messages, options.tools);
    if (key !== null && cache.size < maxCachedSkeletons) cache.set(key, pieces);
    return pieces;
  };
  const render = (messages: readonly ChatMessage[], options: RenderOptions): Piece[] =>
    skeleton(messages, options)
      .map((piece) => fillPiece(piece, messages))
      .filter(({ text }) => text !== '');
  return {
    render,
    matches: (messages, options) =>
      render(messages, options)
        .map(({ text }) => text)
        .join('') === run(messages, options),
  };
}
