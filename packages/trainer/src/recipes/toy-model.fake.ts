// A folder from which a real model of a few thousand parameters is trained: its shape, the byte-level
// tokenizer, no weights (they are drawn from the seed).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toyVocabularySize, writeToyInputs } from './toy-run.fake.ts';

/** Writes `model/` (config.json, tokenizer) and `rows.jsonl`. */
export function writeToyModel(folder: string, rows = 24): void {
  writeToyInputs(folder, rows);
  const config = {
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
  writeFileSync(join(folder, 'model', 'config.json'), JSON.stringify(config));
}
