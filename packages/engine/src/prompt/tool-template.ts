// What a template knows of tools, found out by trying: it is given a tool, a call and a result, once as
// they are and once as placeholders. When both give the same text its own way is used; a template that
// drops them, or writes calls in a format nobody here reads, is treated as one that knows no tools.
import type { PromptMessage, ToolDefinition } from '@corral/contracts';
import { CorralError } from '@corral/contracts';
import { describeTool, parseArguments } from '../tools/generic-tools.ts';
import type { ToolFormatName } from '../tools/tool-format.ts';
import type { Placeholders } from './placeholders.ts';
import type { JsonLayout } from './python-json.ts';

/** How values of one kind are given to the template. */
type ValueStyle =
  | { readonly kind: 'json'; readonly layout: JsonLayout }
  | { readonly kind: 'leaves' };

export interface ToolSupport {
  readonly format: ToolFormatName;
  readonly tools: ValueStyle;
  readonly arguments: ValueStyle;
}

const styles: readonly ValueStyle[] = [
  { kind: 'json', layout: { indent: 0 } },
  { kind: 'json', layout: { indent: 2 } },
  { kind: 'json', layout: { indent: 4 } },
  { kind: 'leaves' },
];

/** What is handed to a template. */
interface TemplateInput {
  readonly messages: readonly object[];
  readonly tools?: readonly unknown[];
}

/** Renders with the prompt for an answer at the end. */
export type RunTemplate = (input: TemplateInput) => string;

/** Stands for every value as it is: what the template is meant to write. */
const plainPlaceholders: Pick<Placeholders, 'text' | 'json' | 'leaves'> = {
  text: (content) => content,
  json: (value) => value as string,
  leaves: (value) => value,
};

type ValueMaker = Pick<Placeholders, 'text' | 'json' | 'leaves'>;

const styled = (value: unknown, style: ValueStyle, make: ValueMaker): unknown =>
  style.kind === 'json' ? make.json(value, style.layout) : make.leaves(value);

export const toolValues = (
  tools: readonly ToolDefinition[],
  style: ValueStyle,
  make: ValueMaker,
): unknown[] => tools.map((tool) => styled(describeTool(tool), style, make));

const toolName = /^[\w.-]{1,64}$/;

/** A message as templates want it. Throws CorralError for a call whose name is none. */
export function templateMessage(
  message: PromptMessage,
  make: ValueMaker,
  style: ValueStyle | null,
): object {
  const { role, content, name, tool_calls, tool_call_id } = message;
  const calls = tool_calls?.map((call) => {
    if (!toolName.test(call.name)) {
      const reason = `"${call.name}" is no name of a function`;
      throw new CorralError('invalid_request', { params: { reason }, param: 'messages' });
    }
    const given = parseArguments(call.arguments);
    const value = style ? styled(given, style, make) : given;
    return {
      id: make.text(call.id),
      type: 'function',
      function: { name: call.name, arguments: value },
    };
  });
  return {
    role: role === 'developer' ? 'system' : role,
    content: make.text(content),
    ...(name === undefined ? {} : { name: make.text(name) }),
    ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
    ...(tool_call_id === undefined ? {} : { tool_call_id: make.text(tool_call_id) }),
  };
}

const probeTool: ToolDefinition = {
  name: 'probe_tool',
  description: 'Says "<hi>" – once.',
  parameters: {
    type: 'object',
    properties: { probe_key: { type: 'string', description: 'A "key"\nof two lines.' } },
    required: ['probe_key'],
  },
};
const probeMessages: readonly PromptMessage[] = [
  { role: 'user', content: 'probe question' },
  {
    role: 'assistant',
    content: '',
    tool_calls: [
      {
        id: 'probe00id',
        name: 'probe_tool',
        arguments: '{"probe_key": "a \\"b\\" <c>", "n": [1, {}]}',
      },
    ],
  },
  { role: 'tool', content: 'probe {"result": 1}', tool_call_id: 'probe00id' },
];

/** The format in which a template writes the call of the probe; null when it is none of ours. */
function callFormat(rendered: string): ToolFormatName | null {
  if (/<tool_call>\s*\{"name": "probe_tool", "arguments": \{/.test(rendered)) return 'tags';
  if (/\n\n\{"name": "probe_tool", "parameters": \{/.test(rendered)) return 'bare';
  return null;
}

/** Null: the template knows no tools. */
export function probeTools(
  run: RunTemplate,
  createPlaceholders: () => Placeholders,
): ToolSupport | null {
  const attempt = (make: ValueMaker, support: Omit<ToolSupport, 'format'>): string | null => {
    try {
      return run({
        messages: probeMessages.map((message) => templateMessage(message, make, support.arguments)),
        tools: toolValues([probeTool], support.tools, make),
      });
    } catch {
      return null; // It refuses tools, or placeholders in their place.
    }
  };
  const leaves: ValueStyle = { kind: 'leaves' };
  const wanted = attempt(plainPlaceholders, { tools: leaves, arguments: leaves });
  const format = wanted === null ? null : callFormat(wanted);
  if (wanted === null || !format || !wanted.includes('of two lines')) return null;
  if (!wanted.includes('"result')) return null;
  for (const tools of styles)
    for (const given of styles) {
      const placeholders = createPlaceholders();
      const rendered = attempt(placeholders, { tools, arguments: given });
      if (rendered === null) continue;
      const text = placeholders
        .cut(rendered)
        .map((piece) => piece.text)
        .join('');
      if (text === wanted) return { format, tools, arguments: given };
    }
  return null;
}

/** A turn with several calls as several turns, each followed by its result: some templates know one a turn. */
export function oneCallATurn(messages: readonly PromptMessage[]): PromptMessage[] {
  const turns: PromptMessage[] = [];
  const answered = new Set<PromptMessage>();
  for (const [i, message] of messages.entries()) {
    const { tool_calls: calls = [] } = message;
    if (answered.has(message)) continue;
    if (calls.length < 2) {
      turns.push(message);
      continue;
    }
    for (const [n, call] of calls.entries()) {
      turns.push({ ...message, content: n === 0 ? message.content : '', tool_calls: [call] });
      const result = messages
        .slice(i + 1)
        .find(({ role, tool_call_id }) => role === 'tool' && tool_call_id === call.id);
      if (result) turns.push(result);
      if (result) answered.add(result);
    }
  }
  return turns;
}
