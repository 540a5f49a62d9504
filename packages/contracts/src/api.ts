// Corral's own HTTP surface, /api/v1: what OpenAI's contract has no words for. Shared by server (to
// validate and document) and sdk (to type).
import { z } from 'zod';
import { modelObjectSchema, paritySchema } from './openai.ts';
import { truncatePolicies } from './run-config.ts';

export const operationSchema = z.object({
  id: z.string(),
  kind: z.enum(['model_pull', 'model_import', 'model_export', 'parity']),
  status: z.enum(['running', 'succeeded', 'failed']),
  progress: z.object({
    /** What happens now, for a person. */
    message: z.string(),
    done_bytes: z.number(),
    total_bytes: z.number().nullable(),
    bytes_per_second: z.number().nullable(),
  }),
  result: z.record(z.string(), z.unknown()).nullable(),
  error: z.object({ code: z.string(), message: z.string(), next: z.string() }).nullable(),
});
/** Work that outlives its request: started by POST, watched by GET /api/v1/operations/{id}. */
export type Operation = z.infer<typeof operationSchema>;

/** What weights can be turned into for serving, in llama.cpp's names. */
export const servingForms = [
  'f32',
  'f16',
  'bf16',
  'q8_0',
  'q6_k',
  'q5_k_m',
  'q4_k_m',
  'q4_1',
  'q4_0',
] as const;
export type ServingForm = (typeof servingForms)[number];
/** Left out: as they came where that serves fast, else q8_0. */
const servingForm = z.enum(servingForms).optional();

export const pullModelSchema = z.object({
  /** Catalogue alias, `hf:owner/name[@rev]`, `modelscope:owner/name`. */
  ref: z.string().min(1).max(512),
  accept_license: z.boolean().default(false),
  serving_form: servingForm,
});
export const importModelSchema = z.object({
  path: z.string().min(1).max(4096),
  id: z.string().min(1).max(128).optional(),
  serving_form: servingForm,
});

export const modelDetailSchema = modelObjectSchema.extend({
  kind: z.enum(['base', 'adapter']),
  base: z.string().nullable(),
  license: z.object({ id: z.string(), url: z.string().nullable() }),
  source: z.string(),
  parameters: z.number().nullable(),
  format: z.string(),
  serving_format: z.string(),
  /** False: it can be looked at and trained on elsewhere, but not answer; `note` says why. */
  servable: z.boolean().optional(),
  note: z.string().nullish(),
  bytes: z.number(),
  sha256: z.string(),
  deployed: z.boolean(),
  job_id: z.string().nullable(),
  /** What it was trained on: a base, or the model that training went on from. */
  derived_from: z.string().nullish(),
  parity: paritySchema.nullable(),
});
export type ModelDetail = z.infer<typeof modelDetailSchema>;

export const dataCheckSchema = z.object({
  file_id: z.string(),
  model: z.string(),
  context_length: z.int().min(8).optional(),
  truncate: z.enum(truncatePolicies).optional(),
  /** Rendered examples to return with their loss mask. */
  preview: z.int().min(0).max(50).default(1),
});

export const deploySchema = z.object({
  model: z.string().min(1),
  alias: z
    .string()
    .regex(/^[\w.:-]{1,128}$/)
    .optional(),
  /** Its base is loaded at the start and stays in memory. For the operator only; left out: as it was. */
  pinned: z.boolean().optional(),
});
export const deploymentSchema = z.object({
  id: z.string(),
  /** The name clients send as `model`. */
  name: z.string(),
  model: z.string(),
  base: z.string(),
  created_at: z.int(),
  previous_model: z.string().nullable(),
  pinned: z.boolean().optional(),
});
export type Deployment = z.infer<typeof deploymentSchema>;

export const keyScopes = ['admin', 'inference', 'training', 'read'] as const;
export type KeyScope = (typeof keyScopes)[number];
export const createKeySchema = z.object({
  name: z.string().min(1).max(128),
  scopes: z.array(z.enum(keyScopes)).min(1).default(['inference', 'training', 'read']),
  project: z.string().optional(),
  /** A hundred years at most. */
  expires_in_seconds: z.int().positive().max(3_153_600_000).nullable().default(null),
});
export const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  /** Enough to recognise it: `sk-corral-…abcd`. */
  hint: z.string(),
  project: z.string(),
  scopes: z.array(z.enum(keyScopes)),
  created_at: z.int(),
  expires_at: z.int().nullable(),
  revoked_at: z.int().nullable(),
  last_used_at: z.int().nullable(),
});
export type ApiKey = z.infer<typeof keySchema>;
/** Answer of POST /api/v1/keys: the only time the secret itself is shown. */
export const createdKeySchema = keySchema.extend({ key: z.string() });
export type CreatedKey = z.infer<typeof createdKeySchema>;

export const evidenceHeadSchema = z.object({
  size: z.int(),
  /** RFC 6962 root hash, base64. */
  root: z.string(),
  /** C2SP signed checkpoint (a signed note) over size and root. */
  checkpoint: z.string(),
  /** C2SP verifier key: `name+hash+base64`. */
  verifier_key: z.string(),
});
export type EvidenceHead = z.infer<typeof evidenceHeadSchema>;

export const evidenceEntrySchema = z.object({
  index: z.int(),
  /** The canonical JSON (RFC 8785) of the audit event: the exact bytes of the leaf. */
  leaf: z.string(),
  event: z.record(z.string(), z.unknown()),
});
export type EvidenceEntry = z.infer<typeof evidenceEntrySchema>;

export const evidenceProofSchema = z.object({
  schema: z.literal('corral-proof/1'),
  index: z.int(),
  leaf: z.string(),
  /** Sibling hashes, base64, bottom up (RFC 6962 2.1.1). */
  proof: z.array(z.string()),
  checkpoint: z.string(),
  verifier_key: z.string(),
});
export type EvidenceProof = z.infer<typeof evidenceProofSchema>;

/** A whole log that verifies offline: `corral evidence export`, `corral evidence verify`. */
export const evidenceBundleSchema = z.object({
  schema: z.literal('corral-evidence/1'),
  leaves: z.array(z.string()),
  checkpoint: z.string(),
  verifier_key: z.string(),
});
export type EvidenceBundle = z.infer<typeof evidenceBundleSchema>;

/** To others than the operator the machine is left blank ('', 0, none), and `jobs` are their own. */
export const statusSchema = z.object({
  version: z.string(),
  ready: z.boolean(),
  pid: z.int(),
  home: z.string(),
  uptime_seconds: z.number(),
  database: z.object({ kind: z.enum(['embedded', 'external', 'pglite']), version: z.string() }),
  engines: z.array(
    z.object({
      base: z.string(),
      /** `waiting`: for memory; `unreachable`: a remote server that does not answer. */
      state: z.enum([
        'waiting',
        'starting',
        'ready',
        'restarting',
        'unloading',
        'stopped',
        'unreachable',
      ]),
      pid: z.int().nullable(),
      active: z.int(),
      queued: z.int(),
      adapters: z.int(),
      memory_bytes: z.number(),
      kind: z.enum(['local', 'remote']).optional(),
      /** Never unloaded to make room. */
      pinned: z.boolean().optional(),
      /** What the budget is charged: an estimate until it was measured. */
      reserved_bytes: z.number().optional(),
      /** While it starts: how much of what it will need is in memory. */
      loading: z.object({ done_bytes: z.number(), total_bytes: z.number() }).optional(),
      max_adapters: z.int().optional(),
      loaded_adapters: z
        .array(
          z.object({
            id: z.string(),
            bytes: z.number(),
            rank: z.int().optional(),
            active: z.boolean().optional(),
          }),
        )
        .optional(),
      adapter_batching: z.enum(['stacked', 'contexts', 'switching']).optional(),
      adapter_batching_reason: z.string().optional(),
      adapter_memory: z
        .object({
          resident_bytes: z.number(),
          stack_bytes: z.number(),
          max_stack_bytes: z.number(),
          stack_ranks: z.number(),
          contexts: z.int().optional(),
          context_sequences: z.int().optional(),
          max_context_sequences: z.int().optional(),
          context_bytes: z.number().optional(),
        })
        .optional(),
      prefix_cache: z
        .object({
          entries: z.int(),
          bytes: z.number(),
          hits: z.int(),
          misses: z.int(),
          tokens_reused: z.int(),
        })
        .optional(),
      speculation: z.object({ drafted: z.int(), accepted: z.int() }).optional(),
      /** Decodes since it was started, and tokens they generated. */
      steps: z.int().optional(),
      tokens_generated: z.int().optional(),
      /** Of a remote engine: where it is, and why it was last not to be had. */
      upstream: z
        .object({ url: z.string(), model: z.string(), key: z.string().nullable() })
        .optional(),
      problem: z.string().nullable().optional(),
    }),
  ),
  /** Memory for models; absent for others than the operator. */
  serving: z
    .object({ limit_bytes: z.number(), reserved_bytes: z.number(), waiting: z.int() })
    .optional(),
  jobs: z.object({ queued: z.int(), running: z.int() }),
  evidence: z.object({ size: z.int() }),
});
export type ServerStatus = z.infer<typeof statusSchema>;

/** `$CORRAL_HOME/credentials.json`, mode 0600. */
export const credentialsSchema = z.object({ base_url: z.string(), api_key: z.string() });
export type Credentials = z.infer<typeof credentialsSchema>;

/** `$CORRAL_HOME/quickstart.json` and `corral quickstart --json`. */
export const quickstartSummarySchema = z.object({
  base_model: z.string(),
  source: z.string(),
  rows: z.int(),
  tokens: z.int(),
  /** Validation loss; null when a small file leaves no example to hold out. */
  loss_before: z.number().nullable(),
  loss_after: z.number().nullable(),
  score_base: z.int(),
  score_tuned: z.int(),
  questions: z.int(),
  tokens_per_second: z.number(),
  gflops: z.number(),
  peak_memory_bytes: z.number(),
  seconds: z.record(z.string(), z.number()),
  parity: z.object({
    prompt_tokens_equal: z.boolean(),
    greedy_agreement: z.number(),
    mean_kl: z.number(),
  }),
  fine_tuned_model: z.string(),
  job_id: z.string(),
  evidence: z.object({ size: z.int(), root: z.string(), verified: z.boolean() }),
  losses: z.array(z.object({ step: z.int(), loss: z.number() })),
});
export type QuickstartSummary = z.infer<typeof quickstartSummarySchema>;
