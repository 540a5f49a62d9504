// OpenAI's HTTP contract as far as Corral serves it: request bodies to validate, answers to produce.
// Unknown fields pass (looseObject); known fields with values we cannot honour are refused by name.
// Corral's own additions stand under one key, `corral`, in both directions.
import { z } from 'zod';

const metadata = z.record(z.string().max(64), z.string().max(512)).nullish();
const text = z.string().max(4_000_000);
const model = z.string().min(1).max(256);

export const contentPartSchema = z.looseObject({
  type: z.string(),
  text: text.optional(),
  refusal: text.optional(),
});
/** A call in the history; `custom` calls and others are refused where they are read. */
const toolCallInputSchema = z.looseObject({
  id: z.string().min(1).max(256),
  type: z.string().optional(),
  function: z.looseObject({ name: z.string().min(1).max(256), arguments: text }).optional(),
});
export const chatMessageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([text, z.array(contentPartSchema).max(2048), z.null()]).optional(),
  name: z.string().max(256).optional(),
  refusal: text.nullish(),
  tool_calls: z.array(toolCallInputSchema).max(128).nullish(),
  tool_call_id: z.string().max(256).optional(),
  function_call: z.looseObject({ name: z.string().min(1).max(256), arguments: text }).nullish(),
});

const functionDefinition = z.looseObject({
  name: z.string().max(256),
  description: text.nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});
export const chatToolSchema = z.looseObject({
  type: z.string(),
  function: functionDefinition.optional(),
});

/** Corral's own additions. Strict, unlike the rest: a misspelt name here is nobody else's field. */
const corralOptions = {
  top_k: z.int().min(0).optional(),
  min_p: z.number().min(0).max(1).optional(),
  typical_p: z.number().gt(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).max(10).optional(),
  ignore_eos: z.boolean().optional(),
  /** From the moment the engine has the request; at most a day. */
  deadline_ms: z.int().min(1).max(86_400_000).optional(),
  /** false: the prefix cache is neither read nor written. */
  cache_prompt: z.boolean().optional(),
};
const chatTemplate = z.string().min(1).max(262_144).optional();

const generationFields = {
  model,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(4)]).nullish(),
  n: z.int().min(1).max(128).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  user: z.string().max(512).nullish(),
};

/** How a prompt is made of messages: for completions and for looking at it. */
const promptFields = {
  messages: z.array(chatMessageSchema).min(1).max(2048),
  tools: z.array(chatToolSchema).max(128).nullish(),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  /** Older names of tools and tool_choice. */
  functions: z.array(functionDefinition).max(128).nullish(),
  function_call: z.union([z.string(), z.looseObject({ name: z.string() })]).nullish(),
};

export const chatCompletionRequestSchema = z.looseObject({
  ...generationFields,
  ...promptFields,
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  response_format: z
    .looseObject({
      type: z.string(),
      json_schema: z
        .looseObject({
          name: z.string().max(256).optional(),
          schema: z.record(z.string(), z.unknown()).nullish(),
          strict: z.boolean().nullish(),
        })
        .optional(),
    })
    .nullish(),
  metadata,
  corral: z.strictObject({ ...corralOptions, chat_template: chatTemplate }).optional(),
});
export type ChatCompletionRequest = z.infer<typeof chatCompletionRequestSchema>;

const tokenIds = z.array(z.int().min(0)).min(1).max(1_048_576);
/** Texts or lists of token ids, one or several. */
const textOrTokens = (most: number) =>
  z.union([text, z.array(text).min(1).max(most), tokenIds, z.array(tokenIds).min(1).max(most)]);

export const completionRequestSchema = z.looseObject({
  ...generationFields,
  prompt: textOrTokens(64),
  max_tokens: z.int().min(0).nullish(),
  logprobs: z.int().min(0).max(5).nullish(),
  echo: z.boolean().nullish(),
  best_of: z.int().min(1).max(20).nullish(),
  suffix: text.nullish(),
  corral: z.strictObject(corralOptions).optional(),
});
export type CompletionRequest = z.infer<typeof completionRequestSchema>;

export const embeddingRequestSchema = z.looseObject({
  model,
  input: textOrTokens(2048),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: generationFields.user,
  corral: z
    .strictObject({
      /** `model` = what the file says, else mean. */
      pooling: z.enum(['model', 'mean', 'last', 'cls']).optional(),
      normalize: z.boolean().optional(),
    })
    .optional(),
});
export type EmbeddingRequest = z.infer<typeof embeddingRequestSchema>;

/** POST /api/v1/render: the prompt of a chat completion, as the model would see it. */
export const renderRequestSchema = z.looseObject({
  model,
  ...promptFields,
  corral: z.strictObject({ chat_template: chatTemplate }).optional(),
});
export type RenderRequest = z.input<typeof renderRequestSchema>;
export const renderedPromptSchema = z.object({
  text: z.string(),
  tokens: z.array(z.int()),
  /** The text of each token, control tokens by their names; an engine may not know them. */
  pieces: z.array(z.string()).optional(),
});
export type RenderedPrompt = z.infer<typeof renderedPromptSchema>;

/** What the policy decided, shown to the person (never silent). */
export interface PolicyNotice {
  readonly action: 'annotate' | 'redact' | 'refuse' | 'stop';
  readonly code: string;
  readonly category: string;
  readonly pack: string;
  readonly rule: string;
  readonly appeal: string | null;
}

const fileObject = {
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: z.int(),
  filename: z.string(),
  purpose: z.string(),
  status: z.enum(['uploaded', 'processed', 'error']),
};
export const fileObjectSchema = z.looseObject(fileObject);
export type FileObject = z.infer<typeof fileObjectSchema>;
export const filePurposes = [
  'fine-tune',
  'fine-tune-results',
  'batch',
  'assistants',
  'user_data',
  'evals',
  'vision',
] as const;

const autoOr = <T extends z.ZodType>(schema: T) => z.union([z.literal('auto'), schema]).optional();
export const supervisedHyperparametersSchema = z.looseObject({
  n_epochs: autoOr(z.number().positive().max(10_000)),
  batch_size: autoOr(z.int().min(1).max(4096)),
  /** Multiplies the default learning rate of the base model's recipe card. */
  learning_rate_multiplier: autoOr(z.number().positive().max(1000)),
});

export const dpoHyperparametersSchema = supervisedHyperparametersSchema.extend({
  /** How strongly answers are held to the reference; run config's `dpo.beta`. */
  beta: autoOr(z.number().positive().max(10)),
});

export const createFineTuningJobSchema = z.looseObject({
  model: z.string().min(1).max(256),
  training_file: z.string().min(1).max(256),
  validation_file: z.string().max(256).nullish(),
  suffix: z.string().max(64).nullish(),
  seed: z.int().min(0).max(0x7fff_ffff).nullish(),
  metadata,
  hyperparameters: supervisedHyperparametersSchema.optional(),
  method: z
    .looseObject({
      type: z.string(),
      supervised: z
        .looseObject({ hyperparameters: supervisedHyperparametersSchema.optional() })
        .optional(),
      dpo: z.looseObject({ hyperparameters: dpoHyperparametersSchema.optional() }).optional(),
    })
    .optional(),
  /** Overrides of the run config's sections (method, lora, train, dpo, data, checkpoint, runtime). */
  corral: z.looseObject({ config: z.record(z.string(), z.unknown()).optional() }).optional(),
});
export type CreateFineTuningJob = z.infer<typeof createFineTuningJobSchema>;

export const fineTuningStatuses = [
  'validating_files',
  'queued',
  'running',
  'pausing',
  'paused',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type FineTuningStatus = (typeof fineTuningStatuses)[number];

export const paritySchema = z.object({
  /** Every rendered prompt gave the same token ids in trainer and engine. */
  prompt_tokens_equal: z.boolean(),
  /** Share of positions whose most likely token is the trainer's, 0..1. */
  greedy_agreement: z.number(),
  /** Mean KL(trainer ‖ engine) of next-token distributions in nats, over the trainer's top tokens and one bucket for the rest. */
  mean_kl: z.number(),
  positions: z.int(),
  transcripts: z.int(),
  passed: z.boolean(),
  /** First disagreement, when there is one. */
  first_difference: z
    .object({
      transcript: z.int(),
      position: z.int(),
      expected: z.int(),
      found: z.int(),
      likely_cause: z.string(),
    })
    .nullable(),
  serving_format: z.string(),
});
export type Parity = z.infer<typeof paritySchema>;

export const jobFiguresSchema = z.looseObject({
  step: z.int(),
  total_steps: z.int(),
  loss: z.number().nullable(),
  tokens: z.int(),
  tokens_per_second: z.number(),
  seconds_left: z.number().nullable(),
  memory_bytes: z.number(),
  peak_memory_bytes: z.number().nullable(),
  gflops: z.number().nullable(),
  loss_before: z.number().nullable(),
  loss_after: z.number().nullable(),
});
export type JobFigures = z.infer<typeof jobFiguresSchema>;

export const fineTuningJobSchema = z.looseObject({
  id: z.string(),
  object: z.literal('fine_tuning.job'),
  created_at: z.int(),
  finished_at: z.int().nullable(),
  estimated_finish: z.int().nullable(),
  model: z.string(),
  fine_tuned_model: z.string().nullable(),
  status: z.enum(fineTuningStatuses),
  error: z
    .object({ code: z.string(), message: z.string(), param: z.string().nullable() })
    .nullable(),
  training_file: z.string(),
  validation_file: z.string().nullable(),
  result_files: z.array(z.string()),
  trained_tokens: z.int().nullable(),
  seed: z.int(),
  organization_id: z.string(),
  hyperparameters: z.looseObject({}),
  method: z.looseObject({ type: z.string() }),
  integrations: z.array(z.unknown()),
  metadata: z.record(z.string(), z.string()).nullable(),
  suffix: z.string().nullable(),
  corral: z.looseObject({ figures: jobFiguresSchema.nullable(), parity: paritySchema.nullable() }),
});
export type FineTuningJob = z.infer<typeof fineTuningJobSchema>;

export const fineTuningEventSchema = z.looseObject({
  id: z.string(),
  object: z.literal('fine_tuning.job.event'),
  created_at: z.int(),
  level: z.enum(['info', 'warn', 'error']),
  message: z.string(),
  type: z.enum(['message', 'metrics']),
  data: z.record(z.string(), z.unknown()).nullable(),
});
export type FineTuningEvent = z.infer<typeof fineTuningEventSchema>;

export const fineTuningCheckpointSchema = z.looseObject({
  id: z.string(),
  object: z.literal('fine_tuning.job.checkpoint'),
  created_at: z.int(),
  fine_tuning_job_id: z.string(),
  fine_tuned_model_checkpoint: z.string(),
  step_number: z.int(),
  metrics: z.looseObject({}),
});

export const modelObjectSchema = z.looseObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});

export const listSchema = <T extends z.ZodType>(item: T) =>
  z.looseObject({
    object: z.literal('list'),
    data: z.array(item),
    has_more: z.boolean(),
    first_id: z.string().nullish(),
    last_id: z.string().nullish(),
  });
export const listQuerySchema = z.object({
  after: z.string().max(256).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
});
