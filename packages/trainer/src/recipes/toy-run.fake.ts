// A whole run at toy size for tests: a folder with tokenizer and data, the fake model, and a way to stop
// it anywhere.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunConfigInput, type RunEvent, runConfigSchema } from '@corral/contracts';
import { byteLevelFiles } from '../data/tokenizer.fake.ts';
import type { OpenCausalLmOptions } from '../models/causal-lm.ts';
import { createFakeModel } from './causal-lm.fake.ts';
import { runTraining } from './run-training.ts';

/** Byte-level tokenizer: 256 bytes, 5 merges, 3 control tokens. */
const toyVocabularySize = 264;

/** A Llama of a few thousand parameters. */
const toyModelConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  vocab_size: toyVocabularySize,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  max_position_embeddings: 256,
  tie_word_embeddings: true,
  bos_token_id: 262,
  eos_token_id: 263,
};

const letters = 'abcdefghijklmnopqrstuvwxyz';

/** Rows that say which letter follows which. */
const toyRows = (count: number): string =>
  Array.from({ length: count }, (_, index) => {
    const letter = letters[index % 26] ?? 'a';
    const answer = (letters[(index + 1) % 26] ?? 'b').repeat(1 + (index % 5));
    return JSON.stringify({
      messages: [
        { role: 'user', content: `after ${letter.repeat(1 + (index % 3))}?` },
        { role: 'assistant', content: answer },
      ],
    });
  }).join('\n');

/** Pairs that prefer the next letter, small, to the one before, large. */
const toyPairs = (count: number): string =>
  Array.from({ length: count }, (_, index) => {
    const at = (step: number): string => letters[(index + 26 + step) % 26] ?? 'a';
    return JSON.stringify({
      prompt: `after ${at(0).repeat(1 + (index % 3))}?`,
      chosen: at(1).repeat(1 + (index % 5)),
      rejected: at(-1)
        .repeat(1 + (index % 4))
        .toUpperCase(),
    });
  }).join('\n');

/**
 * Writes `model/` (shape and tokenizer, no weights: they are drawn from the seed), `rows.jsonl` and
 * `pairs.jsonl` into a folder.
 */
export function writeToyInputs(folder: string, rows = 24): void {
  const { tokenizerJson, tokenizerConfig } = byteLevelFiles();
  mkdirSync(join(folder, 'model'), { recursive: true });
  writeFileSync(join(folder, 'model', 'tokenizer.json'), JSON.stringify(tokenizerJson));
  writeFileSync(join(folder, 'model', 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  writeFileSync(join(folder, 'model', 'config.json'), JSON.stringify(toyModelConfig));
  writeFileSync(join(folder, 'rows.jsonl'), toyRows(rows));
  writeFileSync(join(folder, 'pairs.jsonl'), toyPairs(rows));
}

export interface ToyRunOptions {
  readonly folder: string;
  readonly output: string;
  readonly config?: Partial<RunConfigInput>;
  /** Pause when this event comes. */
  readonly pauseAt?: (event: RunEvent) => boolean;
  /** Throw in this call of forwardBackward (from 1), as a crash would. */
  readonly crashAtBatch?: number;
  /** Hears how the model is opened. */
  readonly onOpen?: (options: OpenCausalLmOptions) => void;
  /** Make the weights not finite in this call, as an overflow would. */
  readonly poisonAtBatch?: number;
}

/** Runs with the fake model and collects the events. */
export async function runToy(options: ToyRunOptions) {
  const { folder, output, config, pauseAt, crashAtBatch, poisonAtBatch } = options;
  const events: RunEvent[] = [];
  const controller = new AbortController();
  let batches = 0;
  const outcome = await runTraining(
    runConfigSchema.parse({
      model: 'model',
      data: { train: 'rows.jsonl', validation: 0.2, context_length: 64 },
      train: { epochs: 3, batch_size: 3, gradient_accumulation: 2, learning_rate: 0.05 },
      checkpoint: { every_steps: 2 },
      ...config,
    }),
    {
      output,
      folder,
      signal: controller.signal,
      emit: (event) => {
        events.push(event);
        if (pauseAt?.(event)) controller.abort();
      },
      openModel: (opened) => {
        options.onOpen?.(opened);
        return Promise.resolve(
          createFakeModel({
            vocabularySize: toyVocabularySize,
            seed: opened.seed,
            onBatch: (parameters) => {
              batches += 1;
              if (batches === poisonAtBatch) parameters[0]?.data.fill(NaN);
              if (batches === crashAtBatch) throw new Error('crash');
            },
          }),
        );
      },
    },
  );
  return { outcome, events };
}
