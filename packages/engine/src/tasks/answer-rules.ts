// What the answer to a request must be: its grammar and how its text is read. Holds what is made once a
// model: the index of its vocabulary and the grammars used lately.
import { createAnswerGrammars } from '../grammar/answer-grammars.ts';
import { createTokenConstraint } from '../grammar/token-constraint.ts';
import { createVocabularyIndex } from '../grammar/vocabulary-index.ts';
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';
import type { AnswerRules, GenerateRequest } from './generation-task.ts';

export interface AnswerRulesMaker {
  /** `prefix`: white space that the template puts before an answer. Throws CorralError. */
  rulesOf(request: GenerateRequest, prefix: string): AnswerRules;
}

export function createAnswerRules(vocabulary: NativeVocabulary): AnswerRulesMaker {
  const bytes = (token: number): Uint8Array => vocabulary.piece(token);
  const index = createVocabularyIndex(vocabulary.size, bytes);
  const grammars = createAnswerGrammars();
  return {
    rulesOf: ({ response_format }, prefix) => {
      const start = response_format && grammars.response(response_format, prefix).start();
      const constraint = start && createTokenConstraint(start, index, vocabulary.endOfGeneration);
      return { prefix, constraint, parser: null, bytes };
    },
  };
}
