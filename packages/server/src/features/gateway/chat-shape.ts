// Chat completions as OpenAI writes them, whole and in chunks. What is the same in every chunk of a choice
// is written once: a stream spends its time on the text alone.
import type { ToolCallDelta } from '@corral/contracts';
import { frame } from './completion-shapes.ts';
import type {
  ChoiceChunks,
  CompletionHead,
  CompletionShape,
  FinishedChoice,
  ShapeOptions,
} from './completion-shapes.ts';
import type { FinishReason } from './guarded-generation.ts';
import type { ShownLogprob } from './logprob-gate.ts';

const chatLogprobs = (entries: readonly ShownLogprob[]) => ({
  content: entries.map(({ text, logprob, bytes, top }) => ({
    token: text,
    logprob,
    bytes,
    top_logprobs: top.map((other) => ({
      token: other.text,
      logprob: other.logprob,
      bytes: other.bytes,
    })),
  })),
  refusal: null,
});

const chunk = (head: CompletionHead, choices: readonly unknown[], more: object = {}) => ({
  id: head.id,
  object: 'chat.completion.chunk',
  created: head.created,
  model: head.model,
  service_tier: 'default',
  system_fingerprint: head.system_fingerprint,
  choices,
  ...more,
});

const finishWord = (reason: FinishReason, { olderCalls }: ShapeOptions): string =>
  reason === 'tool_calls' && olderCalls ? 'function_call' : reason;

/** News of a call: its first chunk has id and type, all have a piece of the arguments. */
const callDelta = ({ index, id, name, arguments: text }: ToolCallDelta) =>
  id === undefined
    ? { index, function: { arguments: text } }
    : { index, id, type: 'function', function: { name, arguments: text } };

/** The older form: one call, without an id. */
const olderDelta = ({ name, arguments: text }: ToolCallDelta) => ({
  ...(name === undefined ? {} : { name }),
  arguments: text,
});

function chunks(head: CompletionHead, index: number, options: ShapeOptions): ChoiceChunks {
  const { withLogprobs, olderCalls } = options;
  const choice = (delta: object, finishReason: string | null = null, logprobs: unknown = null) => ({
    index,
    delta,
    logprobs,
    finish_reason: finishReason,
  });
  const whole = JSON.stringify(chunk(head, [choice({ content: '\0' })]));
  const [before = '', after = ''] = whole.split('"\\u0000"');
  const [prefix, suffix] = [`data: ${before}`, `${after}\n\n`];
  let isOpen = false;
  /** `content` is null when calls come first: a client keeps what it was told. */
  const opening = (content: '' | null): string => {
    if (isOpen) return '';
    isOpen = true;
    return frame(chunk(head, [choice({ role: 'assistant', content, refusal: null })]));
  };
  return {
    text: ({ text, logprobs }) =>
      withLogprobs
        ? opening('') +
          frame(chunk(head, [choice({ content: text }, null, chatLogprobs(logprobs))]))
        : `${opening('')}${prefix}${JSON.stringify(text)}${suffix}`,
    calls(deltas) {
      const news = olderCalls
        ? deltas.map((delta) => choice({ function_call: olderDelta(delta) }))
        : [choice({ tool_calls: deltas.map(callDelta) })];
      return opening(null) + news.map((one) => frame(chunk(head, [one]))).join('');
    },
    finish: ({ finishReason }, addition) =>
      opening('') +
      frame(chunk(head, [choice({}, finishWord(finishReason, options))], { corral: addition })),
  };
}

function messageOf({ text, calls }: FinishedChoice, { olderCalls }: ShapeOptions) {
  const [call] = calls;
  const content = text === '' && call !== undefined ? null : text;
  const message = { role: 'assistant', content, refusal: null, annotations: [] };
  if (call === undefined) return message;
  if (olderCalls)
    return { ...message, function_call: { name: call.name, arguments: call.arguments } };
  const toolCalls = calls.map(({ id, name, arguments: given }) => ({
    id,
    type: 'function',
    function: { name, arguments: given },
  }));
  return { ...message, tool_calls: toolCalls };
}

export const chatShape: CompletionShape = {
  idPrefix: 'chatcmpl-',
  chunks,
  usage: (head, usage) => frame(chunk(head, [], { usage })),
  whole: (head, choices, { addition, usage, ...options }) => ({
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.model,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, options),
      logprobs: options.withLogprobs ? chatLogprobs(choice.logprobs) : null,
      finish_reason: finishWord(choice.finishReason, options),
    })),
    usage,
    service_tier: 'default',
    system_fingerprint: head.system_fingerprint,
    corral: addition,
  }),
};
