// What the server and an engine child say to each other over the IPC channel (JSON, one message per
// decode step and direction). Types only on the hot path: the child validates what starts work, the
// server trusts its own child.
import { z } from 'zod';
import { servingForms } from './api.ts';
import type { ErrorPayload } from './errors.ts';

export const chatRoleSchema = z.enum(['system', 'developer', 'user', 'assistant', 'tool']);

const json = z.record(z.string(), z.unknown());

/** A call the model made; `arguments` is JSON as text, as it was generated. */
export const toolCallSchema = z.object({
  id: z.string().max(256),
  name: z.string().max(256),
  arguments: z.string(),
});
export type ToolCall = z.infer<typeof toolCallSchema>;

/** A function the model may call; `parameters` is a JSON schema. */
export const toolDefinitionSchema = z.object({
  name: z.string().regex(/^[\w.-]{1,64}$/),
  description: z.string().optional(),
  parameters: json.optional(),
  /** Arguments are held to the schema by grammar even when the call is the model's own choice. */
  strict: z.boolean().optional(),
});
export type ToolDefinition = z.infer<typeof toolDefinitionSchema>;

/** A message as the prompt renderer wants it: text only, content parts already joined. */
export const promptMessageSchema = z.object({
  role: chatRoleSchema,
  content: z.string(),
  name: z.string().optional(),
  /** Of an assistant turn. */
  tool_calls: z.array(toolCallSchema).optional(),
  /** Of a tool turn: the call it answers. */
  tool_call_id: z.string().optional(),
});
export type PromptMessage = z.infer<typeof promptMessageSchema>;

export const toolChoiceSchema = z.union([
  z.enum(['auto', 'none', 'required']),
  z.object({ name: z.string() }),
]);
export type ToolChoice = z.infer<typeof toolChoiceSchema>;

/** What the whole answer must be. */
export const responseFormatSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('json_object') }),
  z.object({ type: z.literal('json_schema'), schema: json }),
]);
export type ResponseFormat = z.infer<typeof responseFormatSchema>;

/** What is to be continued. Messages go through the model's template; `text` and `tokens` do not. */
export const promptSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('messages'),
    messages: z.array(promptMessageSchema).min(1),
    tools: z.array(toolDefinitionSchema).max(128).optional(),
    tool_choice: toolChoiceSchema.optional(),
    parallel_tool_calls: z.boolean().optional(),
    /** Jinja, in place of the model's own. */
    chat_template: z.string().max(262_144).optional(),
  }),
  z.object({ kind: z.literal('text'), text: z.string() }),
  z.object({ kind: z.literal('tokens'), tokens: z.array(z.int().min(0)).min(1) }),
]);
export type Prompt = z.infer<typeof promptSchema>;

export const samplingSchema = z.object({
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  /** 0 = off. */
  top_k: z.int().min(0).default(0),
  min_p: z.number().min(0).max(1).default(0),
  /** Locally typical sampling (Meister et al. 2022); 1 = off. */
  typical_p: z.number().gt(0).max(1).default(1),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  presence_penalty: z.number().min(-2).max(2).default(0),
  repetition_penalty: z.number().gt(0).max(10).default(1),
  logit_bias: z.array(z.tuple([z.int().min(0), z.number()])).default([]),
});
export type Sampling = z.infer<typeof samplingSchema>;

export const engineOptionsSchema = z.object({
  /** Tokens a sequence can hold. */
  n_ctx: z.int().min(8).default(2048),
  /** Sequences decoded side by side. */
  n_seq_max: z.int().min(1).max(256).default(8),
  /** Tokens all sequences hold together, which then share one cache; 0 = n_ctx each if memory allows. */
  n_kv: z.int().min(0).default(0),
  n_batch: z.int().min(8).default(512),
  /** 0 = physical cores, minus one when cores are shared. */
  n_threads: z.int().min(0).default(0),
  /** Bytes of keys and values kept for prompts to come; 0 = no prefix cache. */
  prefix_cache_bytes: z
    .int()
    .min(0)
    .default(256 * 2 ** 20),
  /** Where the prefix cache outlives the process; null = nowhere. */
  prefix_cache_folder: z.string().nullable().default(null),
  /** Prompt look-up decoding; `auto` = while it pays. */
  speculation: z.enum(['auto', 'off']).default('auto'),
  /** How streams of different adapters share steps; `auto` = what a self-test at start allows. */
  adapter_batching: z.enum(['auto', 'stacked', 'contexts', 'switching']).default('auto'),
});
export type EngineOptions = z.infer<typeof engineOptionsSchema>;

export const engineRequestSchema = z.discriminatedUnion('type', [
  /** First message to a child; answered by `ready`. */
  z.object({
    type: z.literal('load'),
    id: z.string(),
    model_path: z.string(),
    options: engineOptionsSchema.prefault({}),
  }),
  z.object({
    type: z.literal('load_adapter'),
    id: z.string(),
    adapter_id: z.string(),
    path: z.string(),
  }),
  z.object({ type: z.literal('unload_adapter'), id: z.string(), adapter_id: z.string() }),
  z.object({
    type: z.literal('generate'),
    id: z.string(),
    /** Fair queueing and the prefix cache never mix tenants. */
    tenant: z.string(),
    adapter_id: z.string().nullable().default(null),
    prompt: promptSchema,
    sampling: samplingSchema.prefault({}),
    max_tokens: z.int().min(0),
    stop: z.array(z.string().min(1)).max(16).default([]),
    /** Log-probability of each token and of this many alternatives; null = none. */
    top_logprobs: z.int().min(0).max(64).nullable().default(null),
    ignore_eos: z.boolean().default(false),
    response_format: responseFormatSchema.nullable().default(null),
    /** The events begin with the prompt: its text, and its log-probabilities when they are asked for. */
    echo: z.boolean().default(false),
    /** Milliseconds from receipt; then the generation ends with `deadline`. */
    deadline_ms: z.int().positive().nullable().default(null),
    /** false: neither reads nor writes the prefix cache. */
    cache_prompt: z.boolean().default(true),
  }),
  /** One vector [n_embd] a prompt. Answer: `EmbedResult`. */
  z.object({
    type: z.literal('embed'),
    id: z.string(),
    tenant: z.string(),
    adapter_id: z.string().nullable().default(null),
    prompts: z.array(promptSchema).min(1).max(2048),
    /** `model` = what the file says, else mean. */
    pooling: z.enum(['model', 'mean', 'last', 'cls']).default('model'),
    normalize: z.boolean().default(true),
  }),
  z.object({ type: z.literal('cancel'), id: z.string(), target: z.string() }),
  /** Render and tokenise only. Answer: `RenderResult`. */
  z.object({ type: z.literal('render'), id: z.string(), prompt: promptSchema }),
  /** Teacher forcing for the parity check: feed prompt + forced, report each forced position. Answer: `ScoreResult`. */
  z.object({
    type: z.literal('score'),
    id: z.string(),
    adapter_id: z.string().nullable().default(null),
    prompt: promptSchema,
    forced_tokens: z.array(z.int().min(0)),
    top_logprobs: z.int().min(1).max(64),
    /** For each forced position: log-probabilities of exactly these tokens are returned too. */
    wanted: z.array(z.array(z.int().min(0))).default([]),
  }),
  /**
   * Re-encode a GGUF (Q4_1 → Q8_0 and the like), or make one of a Hugging Face folder. Answer: `{}`, after
   * `progress`; needs no loaded model.
   */
  z.object({
    type: z.literal('quantize'),
    id: z.string(),
    source: z.string(),
    target: z.string(),
    ftype: z.enum(servingForms),
  }),
  z.object({ type: z.literal('status'), id: z.string() }),
  z.object({ type: z.literal('shutdown'), id: z.string() }),
]);
export type EngineRequest = z.infer<typeof engineRequestSchema>;
export type EngineRequestInput = z.input<typeof engineRequestSchema>;

export interface EngineModelInfo {
  readonly architecture: string;
  readonly n_vocab: number;
  readonly n_ctx: number;
  readonly n_ctx_train: number;
  readonly n_params: number;
  readonly size_bytes: number;
  /** llama.cpp release of the native library. */
  readonly build: string;
}

export interface RenderResult {
  readonly text: string;
  readonly tokens: readonly number[];
  /** The text of each token, control tokens by their names. */
  readonly pieces?: readonly string[];
}

export interface ScoreResult {
  readonly prompt_tokens: readonly number[];
  /** One entry a forced token, for the distribution that predicts it. */
  readonly positions: readonly {
    readonly argmax: number;
    readonly top_logprobs: readonly (readonly [token: number, logprob: number])[];
    readonly wanted_logprobs: readonly number[];
  }[];
}

export interface EmbedResult {
  /** [prompts][n_embd], float32 little-endian, base64: JSON numbers would be four times as long. */
  readonly embeddings: readonly string[];
  readonly prompt_tokens: readonly number[];
}

export interface EngineStatus {
  readonly active: number;
  readonly queued: number;
  readonly adapters: readonly {
    readonly id: string;
    readonly bytes: number;
    readonly rank?: number;
    /** It has a place in the batch that runs now. */
    readonly active?: boolean;
  }[];
  /** What the self-test, run when the first adapter is loaded, chose; absent before. */
  readonly adapter_batching?: 'stacked' | 'contexts' | 'switching';
  /** Why. */
  readonly adapter_batching_reason?: string;
  /**
   * Bytes of adapters in memory and of the stacks they are computed in; ranks of the stack in use. Contexts
   * beside the main one, the sequences they have room for, and their bytes.
   */
  readonly adapter_memory?: {
    readonly resident_bytes: number;
    readonly stack_bytes: number;
    readonly max_stack_bytes: number;
    readonly stack_ranks: number;
    readonly contexts?: number;
    readonly context_sequences?: number;
    readonly max_context_sequences?: number;
    readonly context_bytes?: number;
  };
  readonly prefix_cache?: {
    readonly entries: number;
    readonly bytes: number;
    readonly hits: number;
    readonly misses: number;
    readonly tokens_reused: number;
  };
  readonly speculation?: { readonly drafted: number; readonly accepted: number };
  /** Time of steps outside llama_decode, for the benchmarks. */
  readonly overhead_ms?: number;
  readonly memory_bytes: number;
  readonly tokens_generated: number;
  readonly steps: number;
}

export interface TokenLogprob {
  readonly token: number;
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly top: readonly {
    readonly token: number;
    readonly text: string;
    readonly bytes: readonly number[];
    readonly logprob: number;
  }[];
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'cancelled' | 'deadline';

/** News of one call: its first event has `id` and `name`, all append to `arguments`. */
export interface ToolCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly name?: string;
  readonly arguments: string;
}

/** One request's news of one decode step. */
export interface GenerationEvent {
  readonly id: string;
  /** Text completed by this step; never half a UTF-8 sequence, never part of a stop string. */
  readonly text: string;
  /** Tokens sampled in this step. */
  readonly tokens: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  /** The text of a call is never in `text`. */
  readonly tool_calls?: readonly ToolCallDelta[];
  /** With `echo`, in the first event: the prompt. The first token has no log-probability (null). */
  readonly prompt?: {
    readonly text: string;
    readonly tokens: readonly number[];
    readonly logprobs?: readonly (TokenLogprob | null)[];
  };
  readonly finish?: {
    readonly reason: FinishReason;
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly cached_tokens: number;
  };
}

export type EngineMessage =
  | { readonly type: 'ready'; readonly id: string; readonly model: EngineModelInfo }
  | { readonly type: 'tokens'; readonly events: readonly GenerationEvent[] }
  | { readonly type: 'result'; readonly id: string; readonly value: unknown }
  /** How far the request `id` is, in units of its own; any number of them before its result. */
  | {
      readonly type: 'progress';
      readonly id: string;
      readonly done: number;
      readonly total: number;
    }
  /** The request `id` failed; the child lives on unless `fatal`. */
  | {
      readonly type: 'error';
      readonly id: string;
      readonly error: ErrorPayload;
      readonly fatal?: boolean;
    };
