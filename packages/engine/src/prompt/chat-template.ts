// Renders a conversation through the model's Jinja template, keeping apart what the template wrote and
// what people wrote: the template sees a placeholder for every content, and its output is cut there.
// Rule shared with the trainer (the parity check compares ids): split the rendered template at message
// contents, tokenise each piece by itself (prompt-tokens.ts), concatenate; trim a content where the
// template trims; "developer" is rendered as "system"; templates know no clock. Knows no tokens.
import { Template } from '@huggingface/jinja';
import { CorralError, type PromptMessage } from '@corral/contracts';

export interface PromptPiece {
  readonly text: string;
  /** `template`: may write control tokens. `content`: written by people, tools or models; may not. */
  readonly origin: 'template' | 'content';
}

/** What a file without a template gets (the format of SmolLM2, Qwen and others). */
const chatmlTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export interface ChatTemplate {
  /** The prompt up to where the assistant speaks. Throws CorralError `invalid_request` when the template refuses. */
  render(messages: readonly PromptMessage[]): PromptPiece[];
  /**
   * White space that the template puts between the prompt and an answer: a model trained on it writes it
   * first, and nobody wants to read it. Empty for most templates; " " for Llama 2's.
   */
  readonly answerPrefix: string;
}

export interface ChatTemplateOptions {
  /** How the vocabulary spells these tokens; templates write them. */
  readonly bosToken: string;
  readonly eosToken: string;
}

// Private-use characters around a number, between spaces that trimming would take: a template that trims
// its contents is recognised by their absence, and the true content is then trimmed in the same places.
const open = '\ue000';
const close = '\ue001';
const margin = '\u2003';
const placeholder = (index: number): string => `${margin}${open}${index}${close}${margin}`;
const found = new RegExp(`(${margin}?)${open}(\\d+)${close}(${margin}?)`, 'g');

/**
 * The library defines a clock; prompts that depend on the day could not be compared. The empty expression
 * keeps a newline at the start of the template from being taken as the end of the block.
 */
const noClock = "{% set strftime_now = undefined %}{{ '' }}";

const refused = (reason: string, cause?: unknown): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param: 'messages', cause });

function cutAtPlaceholders(rendered: string, contents: readonly string[]): PromptPiece[] {
  const pieces: PromptPiece[] = [];
  const add = (text: string, origin: PromptPiece['origin']): void => {
    if (text !== '') pieces.push({ text, origin });
  };
  let end = 0;
  for (const match of rendered.matchAll(found)) {
    add(rendered.slice(end, match.index), 'template');
    let content = contents[Number(match[2])] ?? '';
    if (match[1] === '') content = content.trimStart();
    if (match[3] === '') content = content.trimEnd();
    add(content, 'content');
    end = match.index + match[0].length;
  }
  add(rendered.slice(end), 'template');
  return pieces;
}

/** A placeholder the template cut or changed means text that would be lost or misread. */
function checkNothingLost(rendered: string, messages: readonly PromptMessage[]): void {
  const used = new Set(Array.from(rendered.matchAll(found), (match) => Number(match[2])));
  messages.forEach((message, i) => {
    if (!used.has(2 * i) && message.content !== '')
      throw refused(`the chat template of this model leaves out message ${i} (${message.role})`);
  });
}

function findAnswerPrefix(
  run: (messages: readonly PromptMessage[], addGenerationPrompt: boolean) => string,
): string {
  const question: PromptMessage = { role: 'user', content: '?' };
  try {
    const prompt = run([question], true);
    const whole = run([question, { role: 'assistant', content: '!' }], false);
    const [before = ''] = whole.split(`${open}2${close}`);
    const between = before.startsWith(prompt) ? before.slice(prompt.length) : '';
    // The placeholder's own margin is not the template's; nor is anything but white space meant.
    const prefix = between.endsWith(margin) ? between.slice(0, -1) : between;
    return prefix.trim() === '' ? prefix : '';
  } catch {
    return ''; // A template that refuses the probe says nothing about answers.
  }
}

/** `source`: Jinja, null for ChatML. Throws CorralError `model_unsupported` when it does not parse. */
export function createChatTemplate(
  source: string | null,
  { bosToken, eosToken }: ChatTemplateOptions,
): ChatTemplate {
  const text = source ?? chatmlTemplate;
  let template: Template;
  try {
    template = new Template(noClock + text);
  } catch (error) {
    throw new CorralError('model_unsupported', {
      params: { path: 'chat template', reason: String(error) },
      cause: error,
    });
  }
  /** Even places hold contents, odd ones names: both come from people. */
  const run = (messages: readonly PromptMessage[], addGenerationPrompt: boolean): string =>
    template.render({
      messages: messages.map(({ role, content, name }, i) => ({
        role: role === 'developer' ? 'system' : role,
        // An empty content stays empty: templates ask whether there is one.
        content: content === '' ? '' : placeholder(2 * i),
        ...(name === undefined ? {} : { name: placeholder(2 * i + 1) }),
      })),
      add_generation_prompt: addGenerationPrompt,
      bos_token: bosToken,
      eos_token: eosToken,
    });

  return {
    answerPrefix: findAnswerPrefix(run),
    render: (messages) => {
      let rendered: string;
      try {
        rendered = run(messages, true);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw refused(`the chat template of this model refuses the messages: ${reason}`, error);
      }
      checkNothingLost(rendered, messages);
      return cutAtPlaceholders(
        rendered,
        messages.flatMap(({ content, name }) => [content, name ?? '']),
      );
    },
  };
}
