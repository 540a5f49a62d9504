// How models write calls of tools: between tags, as Hermes and Qwen learned it and as Corral teaches any
// other model, or as a bare JSON object, as Llama 3 does.
import { literal, optional, sequence, type Expression } from '../grammar/expression.ts';
import type { ToolCallSyntax } from './tool-call-parser.ts';

export type ToolFormatName = 'tags' | 'bare';

export interface ToolFormat {
  /** The key of the arguments in a call. */
  readonly argumentsKey: 'arguments' | 'parameters';
  /** What may stand at the start of the object of a call. */
  readonly lead: Expression;
  /** What stands before and behind a call, and between two. */
  readonly open: Expression;
  readonly close: Expression;
  readonly between: Expression;
  /** How calls of these tools are told from other text. */
  syntax(names: readonly string[]): ToolCallSyntax;
}

const newLine = optional(literal('\n'));
const nothing = sequence();

export const callTags = { open: '<tool_call>', close: '</tool_call>' } as const;

const typed = '"type": "function", ';

export const toolFormats: Readonly<Record<ToolFormatName, ToolFormat>> = {
  tags: {
    argumentsKey: 'arguments',
    lead: nothing,
    open: sequence(literal(callTags.open), newLine),
    close: sequence(newLine, literal(callTags.close)),
    between: newLine,
    syntax: () => ({ markers: [callTags.open], atStart: false, partOfCall: false }),
  },
  bare: {
    argumentsKey: 'parameters',
    lead: optional(literal(typed)),
    open: nothing,
    close: nothing,
    between: literal('; '),
    syntax: (names) => ({
      // With its name: an answer of other JSON is no call.
      markers: names.flatMap((name) => [`{"name": "${name}"`, `{${typed}"name": "${name}"`]),
      atStart: true,
      partOfCall: true,
    }),
  },
};
