// Embeddings of a server that speaks OpenAI's contract, in the form engines give them: float32 in base64.
import type { EmbedResult } from '@corral/contracts';
import { z } from 'zod';
import type { EmbedRequest } from '../engine.ts';
import type { UpstreamClient } from './upstream-client.ts';
import { UpstreamFailure } from './upstream-failure.ts';

const maxDimensions = 65_536;
const answerSchema = z.looseObject({
  data: z.array(
    z.looseObject({
      index: z.int().min(0),
      embedding: z.array(z.number()).min(1).max(maxDimensions),
    }),
  ),
  usage: z.looseObject({ prompt_tokens: z.int().min(0) }).nullish(),
});

function toBase64(vector: readonly number[], normalize: boolean): string {
  const length = normalize ? Math.hypot(...vector) || 1 : 1;
  return Buffer.from(Float32Array.from(vector, (value) => value / length).buffer).toString(
    'base64',
  );
}

/** Prompts are texts or token ids. Throws UpstreamFailure. */
export async function embedUpstream(
  client: UpstreamClient,
  model: string,
  { prompts, normalize = true }: Pick<EmbedRequest, 'prompts' | 'normalize'>,
): Promise<EmbedResult> {
  const input = prompts.map((prompt) =>
    prompt.kind === 'tokens' ? prompt.tokens : prompt.kind === 'text' ? prompt.text : '',
  );
  const body = { model, input, encoding_format: 'float' };
  const found = answerSchema.safeParse(await client.json({ path: '/embeddings', body }));
  if (!found.success) throw new UpstreamFailure('its answer to /embeddings has an unknown form');
  const { data, usage } = found.data;
  const byIndex = data.toSorted((a, b) => a.index - b.index);
  const isWhole = byIndex.length === prompts.length && byIndex.every(({ index }, i) => index === i);
  if (!isWhole) throw new UpstreamFailure(`${data.length} embeddings for ${prompts.length} texts`);
  // The server counts the call; engines count each prompt. The sum is what counts.
  const counts = prompts.map((_, i) => (i === 0 ? (usage?.prompt_tokens ?? 0) : 0));
  return {
    embeddings: byIndex.map(({ embedding }) => toBase64(embedding, normalize)),
    prompt_tokens: counts,
  };
}
