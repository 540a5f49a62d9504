// Every text of a prompt that a caller can put words into, for the policy to read: contents, names, calls
// of the history, results, and what tools say of themselves. A redaction replaces free text; where a change
// would break the request (names, keys, numbers) it cannot, and the request is refused. Pure.
import type { Prompt, PromptMessage, ToolDefinition } from '@corral/contracts';
import { isTooDeep } from './json-depth.ts';

export interface PolicyText {
  readonly role: string;
  readonly text: string;
}

/** Is shown each text in a fixed order, and gives what takes its place. */
type Visit = (role: string, text: string, kind: 'free' | 'fixed') => string;

/** Strings are free text; keys and everything else are gathered in `fixed`. */
function mapJson(value: unknown, onText: (text: string) => string, fixed: string[]): unknown {
  if (typeof value === 'string') return onText(value);
  if (Array.isArray(value)) return value.map((item) => mapJson(item, onText, fixed));
  if (typeof value !== 'object' || value === null) {
    fixed.push(String(value));
    return value;
  }
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    fixed.push(key);
    return [key, mapJson(item, onText, fixed)];
  });
  return Object.fromEntries(entries);
}

/** Undefined: it is no JSON, or too deep to be walked through, and is read as it stands. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isTooDeep(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** JSON as text: judged as what it says, whichever way its strings are escaped. */
function mapArguments(text: string, visit: Visit): string {
  const value = parsed(text);
  if (value === undefined) return visit('assistant', text, 'free');
  const fixed: string[] = [];
  let changed = false;
  const mapped = mapJson(
    value,
    (one) => {
      const shown = visit('assistant', one, 'free');
      changed ||= shown !== one;
      return shown;
    },
    fixed,
  );
  visit('assistant', fixed.join('\n'), 'fixed');
  return changed ? JSON.stringify(mapped) : text;
}

function mapMessage(message: PromptMessage, visit: Visit): PromptMessage {
  const { role, content, name, tool_calls: calls } = message;
  const shown = visit(role, content, 'free');
  if (name !== undefined) visit(role, name, 'fixed');
  if (calls === undefined) return { ...message, content: shown };
  const mapped = calls.map((call) => {
    visit(role, call.name, 'fixed');
    return { ...call, arguments: mapArguments(call.arguments, visit) };
  });
  return { ...message, content: shown, tool_calls: mapped };
}

/** Words of a JSON schema that are for a reader: the rest must stay as it is. */
const schemaProse: ReadonlySet<string> = new Set(['description', 'title', '$comment']);

function mapSchema(value: unknown, visit: Visit, fixed: string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => mapSchema(item, visit, fixed));
  if (typeof value !== 'object' || value === null) {
    fixed.push(String(value));
    return value;
  }
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    if (schemaProse.has(key) && typeof item === 'string') return [key, visit('tool', item, 'free')];
    fixed.push(key);
    return [key, mapSchema(item, visit, fixed)];
  });
  return Object.fromEntries(entries);
}

function mapTool(tool: ToolDefinition, visit: Visit): ToolDefinition {
  const { name, description, parameters } = tool;
  const fixed = [name];
  const mapped: ToolDefinition = { ...tool };
  if (description !== undefined) mapped.description = visit('tool', description, 'free');
  if (parameters !== undefined) {
    mapped.parameters = mapSchema(parameters, visit, fixed) as Record<string, unknown>;
  }
  visit('tool', fixed.join('\n'), 'fixed');
  return mapped;
}

function mapPrompt(prompt: Prompt, visit: Visit): Prompt {
  switch (prompt.kind) {
    case 'text':
      return { kind: 'text', text: visit('user', prompt.text, 'free') };
    case 'tokens':
      return prompt;
    case 'messages': {
      const messages = prompt.messages.map((message) => mapMessage(message, visit));
      const tools = prompt.tools?.map((tool) => mapTool(tool, visit));
      return { ...prompt, messages, ...(tools === undefined ? {} : { tools }) };
    }
    default:
      return prompt satisfies never;
  }
}

/** Tokens have none: they are judged as the text that the engine says they stand for. */
export function textsOf(prompt: Prompt): PolicyText[] {
  const texts: PolicyText[] = [];
  mapPrompt(prompt, (role, text) => {
    texts.push({ role, text });
    return text;
  });
  return texts;
}

/** The prompt with these texts in place of `textsOf` it; null when one cannot be replaced. */
export function withTexts(prompt: Prompt, texts: readonly string[]): Prompt | null {
  let at = 0;
  let possible = true;
  const mapped = mapPrompt(prompt, (_role, text, kind) => {
    const replacement = texts[at++] ?? text;
    if (kind === 'fixed' && replacement !== text) possible = false;
    return replacement;
  });
  return possible ? mapped : null;
}

/** UTF-16 units that the policy would read. */
export const charactersOf = (prompt: Prompt): number =>
  textsOf(prompt).reduce((sum, { text }) => sum + text.length, 0);
