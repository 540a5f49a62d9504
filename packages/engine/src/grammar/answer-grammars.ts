// The grammars of answers, kept by what they were made from: a schema that comes again is not compiled
// again, and the states and masks found for it are still there. Knows the contract's words for formats.
import type { ResponseFormat } from '@corral/contracts';
import { literal, optional, sequence, type Expression } from './expression.ts';
import { compileGrammar, type Grammar } from './grammar.ts';
import { GrammarError } from './grammar-network.ts';
import { anyObject } from './json-text.ts';
import { schemaExpression } from './schema-grammar.ts';
import { malformed, schemaAt, type SchemaPlace } from './schema-keywords.ts';

/** Grammars kept; one holds at most some 20 MB, most hold a few hundred KB. */
const maxGrammars = 16;

const responsePlace = schemaAt('response_format.json_schema.schema');

/** Throws CorralError `invalid_request` or `unsupported_parameter` naming the keyword. */
export function compileAt(expression: Expression, place: SchemaPlace): Grammar {
  try {
    return compileGrammar(expression);
  } catch (error) {
    if (error instanceof GrammarError) throw malformed(place, error.message);
    throw error;
  }
}

export const responseExpression = (format: ResponseFormat): Expression =>
  format.type === 'json_object' ? anyObject : schemaExpression(format.schema, responsePlace);

export interface AnswerGrammars {
  /** The grammar of an answer in this format; `prefix`: text the model may put before it. */
  response(format: ResponseFormat, prefix: string): Grammar;
  /** What `make` made for the same key before, or makes now. */
  remembered<T>(key: string, make: () => T): T;
}

export function createAnswerGrammars(): AnswerGrammars {
  const kept = new Map<string, unknown>();

  function remembered<T>(key: string, make: () => T): T {
    const found = kept.has(key) ? (kept.get(key) as T) : make();
    kept.delete(key);
    kept.set(key, found);
    const [oldest] = kept.keys();
    if (kept.size > maxGrammars && oldest !== undefined) kept.delete(oldest);
    return found;
  }

  return {
    remembered,
    response: (format, prefix) =>
      remembered(JSON.stringify(['response', format, prefix]), () =>
        compileAt(sequence(optional(literal(prefix)), responseExpression(format)), responsePlace),
      ),
  };
}
