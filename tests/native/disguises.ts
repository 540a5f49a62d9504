// The special tokens of the template families, and what they are dressed up as to get past a tokeniser. Tables
// for the tests that show that nothing of it becomes a control token.
import type { TemplateName } from '../../packages/engine/src/prompt/templates.fake.ts';
import type { SpecialTokens } from './engine-fixtures.ts';

export const callTags = ['<tool_call>', '</tool_call>', '<tool_response>', '</tool_response>'];
const chatml = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|im_sep|>'];

export const families: Readonly<Record<TemplateName, SpecialTokens>> = {
  llama2: { controls: ['<s>', '</s>', '<pad>'] },
  llama3: {
    controls: [
      '<|begin_of_text|>',
      '<|end_of_text|>',
      '<|start_header_id|>',
      '<|eot_id|>',
      '<|end_header_id|>',
      '<|eom_id|>',
      '<|python_tag|>',
      '<|finetune_right_pad_id|>',
    ],
  },
  qwen: { controls: chatml, tags: [...callTags, '<think>', '</think>'] },
  hermes: { controls: chatml, tags: callTags },
  mistral: {
    controls: [
      '<s>',
      '</s>',
      '[INST]',
      '[/INST]',
      '[TOOL_CALLS]',
      '[AVAILABLE_TOOLS]',
      '[/AVAILABLE_TOOLS]',
      '[TOOL_RESULTS]',
      '[/TOOL_RESULTS]',
    ],
  },
  gemma: { controls: ['<bos>', '<eos>', '<start_of_turn>', '<end_of_turn>'] },
  chatml: { controls: chatml },
};
const half = (text: string): number => text.length >> 1;
const fullWidth = (text: string): string =>
  text.replace(/[!-~]/g, (c) => String.fromCodePoint((c.codePointAt(0) ?? 0) + 0xfee0));
const swapCase = (text: string): string =>
  text.replace(/[a-z]/gi, (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()));

/** What is put into the places of a conversation; a pair goes into neighbouring places. */
export const disguises: Readonly<Record<string, (token: string) => readonly [string, string]>> = {
  none: (token) => [token, `a${token}b ${token}${token}`],
  case: (token) => [swapCase(token), token.toUpperCase()],
  'zero-width': (token) => [Array.from(token).join('\u200b'), `\u200b${token}\ufeff`],
  'full-width': (token) => [fullWidth(token), `${fullWidth(token[0] ?? '')}${token.slice(1)}`],
  split: (token) => [token.slice(0, half(token)), token.slice(half(token))],
  'JSON-escaped': (token) => [
    token.replace(/[^\w]/g, (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`),
    JSON.stringify(token),
  ],
  'URL-encoded': (token) => [encodeURIComponent(token), `%3C${token.slice(1)}`],
  'HTML entity': (token) => [
    token.replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('|', '&#124;'),
    `&lt;${token.slice(1)}`,
  ],
  nested: (token) => [
    token.slice(0, half(token)) + token + token.slice(half(token)),
    token.slice(0, 1) + token + token.slice(1),
  ],
};
