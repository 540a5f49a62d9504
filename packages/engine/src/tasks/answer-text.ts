// From the bytes of sampled tokens to what a client sees: characters, without the template's white space,
// calls of tools taken out, cut at stop strings (which look at content only, never into a call).
import type { ToolCallDelta } from '@corral/contracts';
import { createPrefixFilter } from '../prompt/prefix-filter.ts';
import { createStopFilter } from '../prompt/stop-strings.ts';
import { createUtf8Assembler } from '../prompt/utf8-assembler.ts';
import type { ToolCallParser } from '../tools/tool-call-parser.ts';

interface AnswerNews {
  readonly text: string;
  readonly calls: readonly ToolCallDelta[];
  /** A stop string was found: nothing follows. */
  readonly stopped: boolean;
}

export interface AnswerText {
  push(bytes: Uint8Array): AnswerNews;
  /** What was held back, when the answer ends. */
  flush(): string;
  /** The answer has begun to call a tool. */
  readonly calls: boolean;
}

export interface AnswerTextOptions {
  /** White space that belongs to the template, not to the answer. */
  readonly prefix: string;
  readonly stops: readonly string[];
  /** Null: calls are text like any other. */
  readonly parser: ToolCallParser | null;
}

export function createAnswerText({ prefix, stops, parser }: AnswerTextOptions): AnswerText {
  const assembler = createUtf8Assembler();
  const prefixFilter = createPrefixFilter(prefix);
  const stopFilter = createStopFilter(stops);
  return {
    push: (bytes) => {
      const text = prefixFilter.push(assembler.push(bytes));
      const parsed = parser?.push(text) ?? { text, calls: [] };
      return { ...stopFilter.push(parsed.text), calls: parsed.calls };
    },
    flush: () => {
      const { text, stopped } = stopFilter.push(parser?.flush() ?? '');
      return stopped ? text : text + stopFilter.flush();
    },
    get calls() {
      return (parser?.count ?? 0) > 0;
    },
  };
}
