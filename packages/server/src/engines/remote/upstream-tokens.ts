// Prompts as text and token ids, where a server can be asked: llama-server's and vLLM's own routes. And what a
// server says of itself. Answers are checked: they come from elsewhere.
import type { EngineModelInfo, Prompt, RenderResult } from '@corral/contracts';
import { z } from 'zod';
import type { UpstreamClient } from './upstream-client.ts';
import { UpstreamFailure } from './upstream-failure.ts';
import { promptFields } from './upstream-request.ts';
import type { UpstreamTarget } from './upstream-request.ts';

const maxTokens = 2 ** 24;
const tokensSchema = z.looseObject({ tokens: z.array(z.int().min(0)).max(maxTokens) });
const promptSchema = z.looseObject({ prompt: z.string() });
const contentSchema = z.looseObject({ content: z.string() });

function check<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  throw new UpstreamFailure(`its answer to ${what} has an unknown form`);
}

type Render = (
  client: UpstreamClient,
  target: UpstreamTarget,
  prompt: Prompt,
) => Promise<RenderResult>;

async function ask<T>(
  client: UpstreamClient,
  schema: z.ZodType<T>,
  { path, body }: { path: string; body: object },
): Promise<T> {
  return check(schema, await client.json({ path, fromRoot: true, body }), path);
}

const renderByLlamaServer: Render = async (client, target, prompt) => {
  if (prompt.kind === 'tokens') {
    const body = { tokens: prompt.tokens };
    const { content } = await ask(client, contentSchema, { path: '/detokenize', body });
    return { text: content, tokens: prompt.tokens };
  }
  const text =
    prompt.kind === 'text'
      ? prompt.text
      : (
          await ask(client, promptSchema, {
            path: '/apply-template',
            body: promptFields(prompt, target),
          })
        ).prompt;
  // As its own routes for completions do it.
  const body = { content: text, add_special: true, parse_special: true };
  const { tokens } = await ask(client, tokensSchema, { path: '/tokenize', body });
  return { text, tokens };
};

const renderByVllm: Render = async (client, target, prompt) => {
  const { model } = target;
  const detokenize = async (tokens: readonly number[]): Promise<string> =>
    (await ask(client, promptSchema, { path: '/detokenize', body: { model, tokens } })).prompt;
  if (prompt.kind === 'tokens')
    return { text: await detokenize(prompt.tokens), tokens: prompt.tokens };
  const what = prompt.kind === 'text' ? { prompt: prompt.text } : promptFields(prompt, target);
  const body = { model, ...what };
  const { tokens } = await ask(client, tokensSchema, { path: '/tokenize', body });
  return { text: prompt.kind === 'text' ? prompt.text : await detokenize(tokens), tokens };
};

export const renderers: Readonly<Record<'llama-server' | 'vllm', Render>> = {
  'llama-server': renderByLlamaServer,
  vllm: renderByVllm,
};

const modelsSchema = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string(),
      max_model_len: z.int().positive().nullish(),
      meta: z
        .looseObject({
          n_vocab: z.int().positive().nullish(),
          n_ctx: z.int().positive().nullish(),
          n_ctx_train: z.int().positive().nullish(),
          n_params: z.number().positive().nullish(),
          size: z.number().positive().nullish(),
        })
        .nullish(),
    }),
  ),
});

/** Where neither the server nor the settings say. */
const usualContext = 8192;

/**
 * What `GET /models` tells, with the operator's word for the context before the server's. Unknown figures
 * are 0. Throws UpstreamFailure when the server cannot be asked or does not have the model.
 */
export async function readModelInfo(
  client: UpstreamClient,
  { model, contextLength }: { model: string; contextLength: number | null },
): Promise<EngineModelInfo> {
  const { data } = check(modelsSchema, await client.json({ path: '/models' }), '/models');
  const exact = data.find(({ id }) => id === model || id === `${model}:latest`);
  // A server of one model answers to any name.
  const found = exact ?? (data.length === 1 ? data[0] : undefined);
  if (!found) {
    const has = data.slice(0, 5).map(({ id }) => `"${id}"`);
    throw new UpstreamFailure(`it has no model "${model}" but ${has.join(', ') || 'none'}`, {
      code: 'engine_unavailable',
    });
  }
  const { meta } = found;
  const n_ctx = contextLength ?? found.max_model_len ?? meta?.n_ctx ?? usualContext;
  return {
    architecture: 'remote',
    n_vocab: meta?.n_vocab ?? 0,
    n_ctx,
    n_ctx_train: meta?.n_ctx_train ?? n_ctx,
    n_params: meta?.n_params ?? 0,
    size_bytes: meta?.size ?? 0,
    build: `remote:${found.id}`,
  };
}
