// What a run that trains from scratch starts from: a folder with config.json and tokenizer files in Hugging
// Face's forms, and no weights.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { byteAlphabet, trainMerges } from './byte-pair-training.ts';

const controlTokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/** ChatML, as SmolLM2 and Qwen write it, without a system message of its own. */
const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export const vocabularySize = 2560;

/** About 3.4 million parameters: 0.66 in the embedding, 0.69 in each of four layers. */
export const modelConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  vocab_size: vocabularySize,
  hidden_size: 256,
  intermediate_size: 640,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 32,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  torch_dtype: 'float32',
};

/** tokenizer.json: control tokens, then bytes, then merges. */
export function makeTokenizer(text: string): object {
  const merges = trainMerges(text, vocabularySize - controlTokens.length - byteAlphabet.length);
  const tokens = [
    ...controlTokens,
    ...byteAlphabet,
    ...merges.map((merge) => merge.replace(' ', '')),
  ];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: controlTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

const tokenizerConfig = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: '<|im_start|>',
  eos_token: '<|im_end|>',
  pad_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  add_bos_token: false,
  add_eos_token: false,
  clean_up_tokenization_spaces: false,
  model_max_length: modelConfig.max_position_embeddings,
  chat_template: chatTemplate,
};

/** Writes config.json, tokenizer.json and tokenizer_config.json into `folder`. */
export async function writeModelFolder(folder: string, text: string): Promise<void> {
  const write = (name: string, value: object): Promise<void> =>
    writeFile(join(folder, name), `${JSON.stringify(value, null, 1)}\n`);
  await write('config.json', modelConfig);
  await write('tokenizer.json', makeTokenizer(text));
  await write('tokenizer_config.json', tokenizerConfig);
}
