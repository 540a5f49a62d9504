// Renders a conversation through the model's Jinja template, keeping apart what the template wrote and what
// people wrote (placeholders.ts). Rule shared with the trainer (the parity check compares ids): split the
// rendered template at message contents, tokenise each piece by itself (prompt-tokens.ts), concatenate;
// trim a content where the template trims; "developer" is rendered as "system"; templates know no clock.
// Knows no tokens.
import { CorralError, type PromptMessage, type ToolDefinition } from '@corral/contracts';
import { withoutToolRoles } from '../tools/generic-tools.ts';
import type { ToolFormatName } from '../tools/tool-format.ts';
import { createPlaceholders, type Placeholders, type PromptPiece } from './placeholders.ts';
import {
  compileTemplate,
  ownTemplateLimits,
  TemplateError,
  type TemplateLimits,
} from './template-runner.ts';
import {
  oneCallATurn,
  probeTools,
  templateMessage,
  toolValues,
  type ToolSupport,
} from './tool-template.ts';

/** What a file without a template gets (the format of SmolLM2, Qwen and others). */
const chatmlTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export interface ChatTemplate {
  /**
   * The prompt up to where the assistant speaks. Throws CorralError `invalid_request` when the template
   * refuses, takes too long or leaves something out.
   */
  render(messages: readonly PromptMessage[], tools?: readonly ToolDefinition[]): PromptPiece[];
  /**
   * White space that the template puts between the prompt and an answer: a model trained on it writes it
   * first, and nobody wants to read it. Empty for most templates; " " for Llama 2's.
   */
  readonly answerPrefix: string;
  /** How calls of tools are written under this template. Found out when it is first asked for. */
  readonly toolFormat: ToolFormatName;
  /** False: the model has seen no tools in training, as far as its template tells. */
  readonly knowsTools: boolean;
}

export interface ChatTemplateOptions {
  /** How the vocabulary spells these tokens; templates write them. */
  readonly bosToken: string;
  readonly eosToken: string;
  readonly limits?: TemplateLimits;
}

const refused = (reason: string, cause?: unknown): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param: 'messages', cause });

type Run = (input: {
  readonly messages: readonly object[];
  readonly tools?: readonly unknown[];
  readonly add_generation_prompt?: boolean;
}) => string;

function findAnswerPrefix(run: Run): string {
  const placeholders = createPlaceholders();
  const question = { role: 'user', content: placeholders.text('?') };
  const answer = placeholders.text('!');
  try {
    const prompt = run({ messages: [question] });
    const whole = run({
      messages: [question, { role: 'assistant', content: answer }],
      add_generation_prompt: false,
    });
    // Behind the margin of the placeholder, which is not the template's.
    const [before = ''] = whole.split(answer.slice(1, -1));
    const between = before.startsWith(prompt) ? before.slice(prompt.length) : '';
    const prefix = between.endsWith(answer[0] ?? '') ? between.slice(0, -1) : between;
    return prefix.trim() === '' ? prefix : '';
  } catch {
    return ''; // A template that refuses the probe says nothing about answers.
  }
}

/** A placeholder the template cut or changed means text that would be lost or misread. */
function checkNothingLost(
  rendered: string,
  contents: readonly { readonly placeholder: string; readonly of: string }[],
  placeholders: Placeholders,
): void {
  for (const { placeholder, of } of contents)
    if (!placeholders.isIn(rendered, placeholder))
      throw refused(`the chat template of this model leaves out ${of}`);
}

/** Renders messages as they are, with tools where the template knows them. */
function renderPieces(
  run: Run,
  messages: readonly PromptMessage[],
  tools: readonly ToolDefinition[],
  support: ToolSupport | null,
): PromptPiece[] {
  const placeholders = createPlaceholders();
  const contents: { placeholder: string; of: string }[] = [];
  const made = messages.map((message, i) => {
    const whole = templateMessage(message, placeholders, support?.arguments ?? null);
    const content = (whole as { content: string }).content;
    contents.push({ placeholder: content, of: `message ${i} (${message.role})` });
    return whole;
  });
  const described =
    support && tools.length > 0 ? { tools: toolValues(tools, support.tools, placeholders) } : {};
  let rendered: string;
  try {
    rendered = run({ messages: made, ...described });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw refused(`the chat template of this model refuses the messages: ${error.message}`, error);
  }
  checkNothingLost(rendered, contents, placeholders);
  return placeholders.cut(rendered);
}

function renderNatively(
  run: Run,
  messages: readonly PromptMessage[],
  tools: readonly ToolDefinition[],
  support: ToolSupport,
): PromptPiece[] {
  try {
    return renderPieces(run, messages, tools, support);
  } catch (error) {
    const several = messages.some(({ tool_calls = [] }) => tool_calls.length > 1);
    if (!several) throw error;
    return renderPieces(run, oneCallATurn(messages), tools, support);
  }
}

/** For a template without tools: described in the system message, or in the first where that is refused. */
function renderGenerically(
  run: Run,
  messages: readonly PromptMessage[],
  tools: readonly ToolDefinition[],
): PromptPiece[] {
  const render = (system: boolean): PromptPiece[] =>
    renderPieces(run, withoutToolRoles(messages, tools, { system }), [], null);
  try {
    return render(true);
  } catch {
    return render(false);
  }
}

const concernsTools = ({ role, tool_calls = [] }: PromptMessage): boolean =>
  role === 'tool' || tool_calls.length > 0;

/** `source`: Jinja, null for ChatML. Throws CorralError `model_unsupported` when it does not parse. */
export function createChatTemplate(
  source: string | null,
  { bosToken, eosToken, limits = ownTemplateLimits }: ChatTemplateOptions,
): ChatTemplate {
  let template: ReturnType<typeof compileTemplate>;
  try {
    template = compileTemplate(source ?? chatmlTemplate, limits);
  } catch (error) {
    throw new CorralError('model_unsupported', {
      params: { path: 'chat template', reason: String(error) },
      cause: error,
    });
  }
  const run: Run = (input) =>
    template({
      add_generation_prompt: true,
      bos_token: bosToken,
      eos_token: eosToken,
      ...input,
    });
  let support: ToolSupport | null | undefined;
  const toolSupport = (): ToolSupport | null => (support ??= probeTools(run, createPlaceholders));

  return {
    answerPrefix: findAnswerPrefix(run),
    get toolFormat() {
      return toolSupport()?.format ?? 'tags';
    },
    get knowsTools() {
      return toolSupport() !== null;
    },
    render: (messages, tools = []) => {
      if (tools.length === 0 && !messages.some(concernsTools))
        return renderPieces(run, messages, [], null);
      const native = toolSupport();
      return native
        ? renderNatively(run, messages, tools, native)
        : renderGenerically(run, messages, tools);
    },
  };
}
