// Reads JSON bodies as Fastify does, names that could change every object refused, and says why one is refused:
// Fastify's own words for all of it are "not valid JSON".
import { CorralError } from '@corral/contracts';
import type { FastifyInstance } from 'fastify';

/** Called for what was refused: text that can be read has a name that is not taken. */
function reasonOf(body: string): string {
  try {
    JSON.parse(body);
  } catch (error) {
    return `The body is not valid JSON: ${error instanceof Error ? error.message : ''}.`;
  }
  return 'The body has a property "__proto__", or a "constructor" with a "prototype" in it: such names are taken nowhere, not in a JSON schema either.';
}

/** Call on the root instance. */
export function registerJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string' },
    (request, body, done) => {
      void parse(request, body, (error, value) => {
        if (!error || body.length === 0) done(error, value);
        else
          done(
            new CorralError('invalid_request', {
              params: { reason: reasonOf(body) },
              cause: error,
            }),
          );
      });
    },
  );
}
