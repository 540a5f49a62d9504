// POST /v1/embeddings: texts in, vectors out, in the two encodings that OpenAI's clients read.
import { embeddingRequestSchema } from '@corral/contracts';
import type { EmbeddingRequest } from '@corral/contracts';
import type { FeatureRoutes } from '../../http/feature.ts';
import { contextOf } from '../../http/request-context.ts';
import { clientSignal } from './client-signal.ts';
import type { EmbeddingsService } from './embeddings-service.ts';
import { invalid, refuseUnsupported, unsupported } from './request-fields.ts';
import { textPrompts } from './text-request.ts';

/** Float32 little-endian, whichever way this machine writes its numbers. */
function numbersOf(base64: string): number[] {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4));
}

/** Bytes of a vector in base64 without padding give four thirds of their number in letters. */
const lengthOf = (base64: string): number => Buffer.byteLength(base64, 'base64') / 4;

function refuseEmpty(input: EmbeddingRequest['input']): void {
  const at =
    typeof input === 'string' ? (input === '' ? 0 : -1) : input.findIndex((one) => one === '');
  if (at < 0) return;
  throw invalid(typeof input === 'string' ? 'input' : `input[${at}]`, 'is an empty text');
}

/** A part of a vector is a vector only for models that were trained so, and a file does not tell. */
function refuseOtherLength(asked: number | null | undefined, vector: string | undefined): void {
  if (asked === null || asked === undefined || vector === undefined) return;
  const length = lengthOf(vector);
  if (asked === length) return;
  throw unsupported('dimensions', `vectors of this model have ${length} numbers and are not cut`);
}

export interface EmbeddingsRouteDependencies {
  readonly embeddings: EmbeddingsService;
  readonly onEmbedded: (promptTokens: number) => void;
}

export const embeddingsRoutes =
  ({ embeddings, onEmbedded }: EmbeddingsRouteDependencies): FeatureRoutes =>
  async (app) => {
    app.post(
      '/v1/embeddings',
      { config: { scope: 'inference' }, schema: { body: embeddingRequestSchema } },
      async (request, reply) => {
        const { body } = request;
        refuseUnsupported('embeddings', body);
        refuseEmpty(body.input);
        const { vectors, promptTokens } = await embeddings.embed(
          contextOf(request),
          {
            model: body.model,
            prompts: textPrompts(body.input),
            pooling: body.corral?.pooling ?? 'model',
            normalize: body.corral?.normalize ?? true,
          },
          clientSignal(reply),
        );
        refuseOtherLength(body.dimensions, vectors[0]);
        onEmbedded(promptTokens);
        const isBase64 = body.encoding_format === 'base64';
        return {
          object: 'list',
          data: vectors.map((vector, index) => ({
            object: 'embedding',
            index,
            embedding: isBase64 ? vector : numbersOf(vector),
          })),
          model: body.model,
          usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
        };
      },
    );
  };
