// What a trained model can be written as for others: the request of `corral export`, of the trainer's worker and
// of the server, and what comes back. Knows no files.
import { z } from 'zod';
import { servingForms } from './api.ts';
import type { Parity } from './openai.ts';

/**
 * `peft`: the adapter alone; `merged`: a Hugging Face folder with the adapter in its weights; `gguf`: the same as one
 * GGUF file.
 */
export const exportFormats = ['peft', 'merged', 'gguf', 'onnx'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** Of the numbers in a merged folder; `auto`: as the base has them, float16 where that is quantised. */
export const exportDtypes = ['auto', 'float32', 'float16', 'bfloat16'] as const;
export type ExportDtype = (typeof exportDtypes)[number];

const path = z.string().min(1).max(4096);
const dtype = z.enum(exportDtypes).default('auto');
/** Of a GGUF file; left out: as many bits as `dtype` has. */
const form = z.enum(servingForms).optional();

export const exportConfigSchema = z.strictObject({
  /** Folder of a run, or any PEFT adapter folder. */
  source: path,
  /** What the adapter was trained on; left out: where the run found it. */
  base: path.optional(),
  format: z.enum(exportFormats),
  /** Must not exist: a folder, or for `gguf` a file. */
  output: path,
  dtype,
  form,
  /** For the model card; default: the base folder's name. */
  name: z.string().min(1).max(256).optional(),
  /** Terms of the base, which follow its derivatives; left out: what the base's files say. */
  license: z.object({ id: z.string().max(256), url: z.string().nullable() }).optional(),
  /** Accept a base with other bytes than the adapter was trained on, such as the same weights in other bits. */
  other_base: z.boolean().default(false),
});
export type ExportConfigInput = z.input<typeof exportConfigSchema>;
export type ExportConfig = z.output<typeof exportConfigSchema>;

/** Body of POST /api/v1/models/{id}/export. */
export const exportModelSchema = z.object({
  format: z.enum(exportFormats),
  /** On the server's machine. */
  path,
  dtype,
  form,
});

/** The last line of the worker, and the result of the server's operation. */
export interface ExportResult {
  readonly type: 'exported';
  /** Absolute. */
  readonly path: string;
  readonly format: ExportFormat;
  /** Of the matrices: a safetensors dtype or a GGUF form; null where there are none but the adapter's. */
  readonly weights: string | null;
  readonly bytes: number;
  readonly base_sha256: string | null;
  /** Of adapter_model.safetensors; null for a whole model. */
  readonly adapter_sha256: string | null;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
  /** What a person should know, such as that the base was dequantised. */
  readonly notes: readonly string[];
  /** Of a GGUF that a server wrote of a model that it trained: the transcripts replayed on the file. */
  readonly parity?: Parity | undefined;
}
