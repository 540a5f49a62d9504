// The configuration of one training run, in the order of a run. This is what a person writes in YAML
// and what the server sends to a trainer child. Resolution (paths, hashes, `auto`) is the trainer's.
import { z } from 'zod';

const auto = z.literal('auto');
const path = z.string().min(1).max(4096);

/** Linear layers of a decoder block that can carry LoRA. */
export const loraTargets = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const;
export type LoraTarget = (typeof loraTargets)[number];

export const trainingMethods = ['lora', 'qlora', 'full', 'pretrain', 'dpo'] as const;
export type TrainingMethod = (typeof trainingMethods)[number];

export const dataFormats = [
  'auto',
  'chat',
  'completion',
  'alpaca',
  'sharegpt',
  'text',
  'preference',
] as const;
/** What becomes of conversations longer than the context. */
export const truncatePolicies = ['error', 'drop', 'cut'] as const;
export type TruncatePolicy = (typeof truncatePolicies)[number];
export const lossScopes = ['assistant', 'last', 'all'] as const;
export const scheduleNames = ['cosine', 'linear', 'constant'] as const;
export const devices = ['auto', 'cpu', 'cuda', 'webgpu', 'directml', 'coreml'] as const;

export const runConfigSchema = z.strictObject({
  /** A folder, a GGUF file, or a shape file for training from scratch. */
  model: path,
  method: z.enum(trainingMethods).default('lora'),
  data: z.strictObject({
    train: path,
    /** A file, or the share of examples held out by hash; 0 means none. */
    validation: z.union([z.number().min(0).max(0.9), path]).default(0.1),
    format: z.enum(dataFormats).default('auto'),
    /** Tokens of one sequence; longer examples are an error unless `truncate` says otherwise. */
    context_length: z.int().min(8).max(1_048_576).default(2048),
    /** Of longer conversations: refuse the data, leave them out, or cut their ends; told in each case. */
    truncate: z.enum(truncatePolicies).default('error'),
    /** Several examples share one row of the batch; changes layout and speed, never the numbers. */
    packing: z.boolean().default(true),
    loss_on: z.enum(lossScopes).default('assistant'),
  }),
  lora: z
    .strictObject({
      rank: z.int().min(1).max(1024).default(16),
      alpha: z.number().positive().max(4096).default(32),
      dropout: z.number().min(0).max(0.9).default(0),
      target_modules: z
        .union([z.literal('all-linear'), z.array(z.enum(loraTargets)).min(1)])
        .default('all-linear'),
      /** Scale by alpha / √rank instead of alpha / rank (Kalajdzievski 2023). */
      use_rslora: z.boolean().default(false),
      /** A PEFT adapter folder to start from. */
      init: path.optional(),
    })
    .prefault({}),
  train: z
    .strictObject({
      epochs: z.number().positive().max(10_000).default(3),
      max_steps: z.int().positive().nullable().default(null),
      batch_size: z.int().min(1).max(4096).default(4),
      gradient_accumulation: z.int().min(1).max(4096).default(1),
      learning_rate: z.number().positive().max(1).default(2e-4),
      schedule: z.enum(scheduleNames).default('cosine'),
      warmup_ratio: z.number().min(0).max(1).default(0.03),
      weight_decay: z.number().min(0).max(1).default(0),
      max_grad_norm: z.number().positive().nullable().default(1),
      seed: z.int().min(0).max(0xffff_ffff).default(42),
      /** Stop after this many validations without a better loss. */
      early_stopping: z.int().positive().nullable().default(null),
    })
    .prefault({}),
  dpo: z.strictObject({ beta: z.number().positive().max(10).default(0.1) }).prefault({}),
  checkpoint: z
    .strictObject({
      every_steps: z.int().positive().default(50),
      keep: z.int().min(1).max(1000).default(2),
    })
    .prefault({}),
  runtime: z
    .strictObject({
      device: z.enum(devices).default('auto'),
      precision: z.enum(['auto', 'float32', 'int8']).default('auto'),
      threads: z.union([auto, z.int().min(1).max(1024)]).default('auto'),
      /** Bytes, or a string such as "12GiB". */
      memory_limit: z
        .union([auto, z.int().positive(), z.string().regex(/^\d+(\.\d+)?\s*(MiB|GiB|MB|GB)$/)])
        .default('auto'),
    })
    .prefault({}),
});

export type RunConfigInput = z.input<typeof runConfigSchema>;
export type RunConfig = z.output<typeof runConfigSchema>;
