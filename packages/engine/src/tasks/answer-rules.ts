// What the answer to a request must be: its grammar and how its text is read. Holds what is made once a
// model: the index of its vocabulary and the grammars used lately.
import { createAnswerGrammars, responseExpression } from '../grammar/answer-grammars.ts';
import { createTokenConstraint } from '../grammar/token-constraint.ts';
import { createVocabularyIndex } from '../grammar/vocabulary-index.ts';
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';
import type { ChatTemplate } from '../prompt/chat-template.ts';
import { createToolAnswer, type ToolAnswer } from '../tools/tool-answer.ts';
import { createToolCallParser } from '../tools/tool-call-parser.ts';
import { callTags, toolFormats } from '../tools/tool-format.ts';
import type { AnswerRules, GenerateRequest } from './generation-task.ts';

export interface AnswerRulesMaker {
  /** `template`: the one the prompt goes through. Throws CorralError. */
  rulesOf(request: GenerateRequest, template: ChatTemplate): AnswerRules;
  /** Works ahead for about `ms`; true when nothing is left. */
  prepare(ms: number): boolean;
}

const newCallId = (): string => `call_${crypto.randomUUID().replaceAll('-', '').slice(0, 24)}`;

/** Tags of calls count as text even where the vocabulary has control tokens for them. */
function answerBytes(vocabulary: NativeVocabulary): (token: number) => Uint8Array {
  const tags = new Map<number, Uint8Array>();
  for (const tag of Object.values(callTags)) {
    const [token, ...more] = vocabulary.tokenize(tag, { special: true, spacePrefix: false });
    if (token !== undefined && more.length === 0) tags.set(token, new TextEncoder().encode(tag));
  }
  return (token) => tags.get(token) ?? vocabulary.piece(token);
}

export function createAnswerRules(vocabulary: NativeVocabulary): AnswerRulesMaker {
  const bytes = answerBytes(vocabulary);
  const index = createVocabularyIndex(vocabulary.size, bytes);
  const grammars = createAnswerGrammars();

  function toolAnswer(
    { prompt, response_format }: GenerateRequest,
    template: ChatTemplate,
  ): ToolAnswer | null {
    if (prompt.kind !== 'messages') return null;
    const { tools = [], tool_choice } = prompt;
    if (tools.length === 0 || tool_choice === 'none') return null;
    const { answerPrefix: prefix, toolFormat } = template;
    // A model that never learned when to stop calling makes one call, unless more are asked for.
    const parallel_tool_calls = prompt.parallel_tool_calls ?? template.knowsTools;
    const parts = [tools, tool_choice, parallel_tool_calls, toolFormat, prefix, response_format];
    return grammars.remembered(JSON.stringify(['tools', ...parts]), () =>
      createToolAnswer(
        { tools, parallel_tool_calls, ...(tool_choice === undefined ? {} : { tool_choice }) },
        {
          format: toolFormats[toolFormat],
          prefix,
          response: response_format && responseExpression(response_format),
        },
      ),
    );
  }

  return {
    prepare: index.prepare,
    rulesOf: (request, template) => {
      const { prompt, response_format } = request;
      const prefix = prompt.kind === 'messages' ? template.answerPrefix : '';
      const tools = toolAnswer(request, template);
      const start =
        tools?.start() ?? (response_format && grammars.response(response_format, prefix).start());
      return {
        prefix,
        bytes: tools ? bytes : (token) => vocabulary.piece(token),
        constraint: start && createTokenConstraint(start, index, vocabulary.endOfGeneration),
        parser:
          tools &&
          createToolCallParser(tools.syntax, { callsOnly: tools.callsOnly, newId: newCallId }),
      };
    },
  };
}
