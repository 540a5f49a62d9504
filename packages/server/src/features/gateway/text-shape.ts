// Text completions as OpenAI writes them, whole and in chunks.
import { frame } from './completion-shapes.ts';
import type { ChoiceChunks, CompletionHead, CompletionShape } from './completion-shapes.ts';
import type { ShownLogprob } from './logprob-gate.ts';

/** The older form: four arrays side by side. */
const textLogprobs = (entries: readonly ShownLogprob[]) => ({
  tokens: entries.map(({ text }) => text),
  token_logprobs: entries.map(({ logprob }) => logprob),
  top_logprobs: entries.map(({ logprob, top }) =>
    // What nothing predicts has no alternatives either.
    logprob === null ? null : Object.fromEntries(top.map((one) => [one.text, one.logprob])),
  ),
  text_offset: entries.map(({ offset }) => offset),
});

const chunk = (head: CompletionHead, choices: readonly unknown[], more: object = {}) => ({
  id: head.id,
  object: 'text_completion',
  created: head.created,
  model: head.model,
  system_fingerprint: head.system_fingerprint,
  choices,
  ...more,
});

function chunks(
  head: CompletionHead,
  index: number,
  { withLogprobs }: { withLogprobs: boolean },
): ChoiceChunks {
  const choice = (text: string, finish: string | null, logprobs: unknown = null) => ({
    index,
    text,
    logprobs,
    finish_reason: finish,
  });
  const whole = JSON.stringify(chunk(head, [choice('\0', null)]));
  const [before = '', after = ''] = whole.split('"\\u0000"');
  const [prefix, suffix] = [`data: ${before}`, `${after}\n\n`];
  return {
    text: ({ text, logprobs }) =>
      withLogprobs
        ? frame(chunk(head, [choice(text, null, textLogprobs(logprobs))]))
        : `${prefix}${JSON.stringify(text)}${suffix}`,
    calls: () => '', // Raw text has no tools.
    finish: ({ finishReason }, addition) =>
      frame(chunk(head, [choice('', finishReason)], { corral: addition })),
  };
}

export const textShape: CompletionShape = {
  idPrefix: 'cmpl-',
  chunks,
  usage: (head, usage) => frame(chunk(head, [], { usage })),
  whole: (head, choices, { withLogprobs, addition, usage }) =>
    chunk(
      head,
      choices.map(({ text, logprobs, finishReason }, index) => ({
        index,
        text,
        logprobs: withLogprobs ? textLogprobs(logprobs) : null,
        finish_reason: finishReason,
      })),
      { usage, corral: addition },
    ),
};
