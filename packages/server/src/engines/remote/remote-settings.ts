// A server that somebody else runs and that answers in OpenAI's way, as the settings describe it.
import { z } from 'zod';

const seconds = (fallback: number) => z.number().positive().max(3600).default(fallback);

/** What differs between the servers that speak OpenAI's contract. */
const dialectNames = ['openai', 'llama-server', 'vllm', 'ollama'] as const;
export type DialectName = (typeof dialectNames)[number];

export const remoteEngineSchema = z.strictObject({
  /** The model id that it gets here. */
  id: z.string().regex(/^[\w.:-]{1,128}$/),
  type: z.enum(dialectNames).default('openai'),
  /** Up to and with `/v1`. */
  base_url: z
    .url({ protocol: /^https?$/ })
    .refine((text) => {
      const { username, password, search, hash } = new URL(text);
      return [username, password, search, hash].every((part) => part === '');
    }, 'must be an address alone: no user, password, query or fragment')
    .transform((text) => text.replace(/\/+$/, '')),
  /** The model's name there. */
  model: z.string().min(1).max(256),
  /** Name of the environment variable that holds the key. */
  api_key_env: z
    .string()
    .regex(/^[A-Za-z_]\w*$/)
    .optional(),
  /** Tokens of its context, where the server does not tell. */
  context_length: z.int().min(8).optional(),
  /** A host name may stand for an address that is not public. */
  private_network: z.boolean().default(false),
  /** Prompts of all projects may share its prefix cache. */
  shared_prefix_cache: z.boolean().default(false),
  max_requests: z.int().min(1).max(10_000).default(64),
  /** Only before the first token. */
  retries: z.int().min(0).max(10).default(2),
  connect_seconds: seconds(4),
  first_token_seconds: seconds(120),
  between_tokens_seconds: seconds(60),
  health_seconds: seconds(30),
});

export type RemoteEngineSettings = z.output<typeof remoteEngineSchema> & {
  /** Never logged, never shown. */
  readonly apiKey: string | null;
};

/** In the place of a model's file, in its row and in a request for its engine. */
export const remotePath = (id: string): string => `remote:${id}`;

/** Null for a file. */
export const remoteIdOf = (path: string): string | null =>
  path.startsWith('remote:') ? path.slice('remote:'.length) : null;
