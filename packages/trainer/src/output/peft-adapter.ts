// A LoRA adapter in the two forms others load: PEFT's folder (adapter_config.json and
// adapter_model.safetensors) and llama.cpp's adapter.gguf. The numbers are the same; GGUF orders the rows
// of q and k differently, so B is permuted there as the base was.
import { basename, join } from 'node:path';
import {
  type ModelConfig,
  ggufTensorName,
  gguf,
  modelConfigToGguf,
  openFileSink,
  permuteQk,
  permutesQk,
  writeGguf,
  writeSafetensors,
} from '@corral/formats';
import type { ResolvedRunConfig } from '../config/resolve-config.ts';
import type { Parameter } from '../models/causal-lm.ts';
import { loraScale } from '../models/lora-scale.ts';
import { writeJsonAtomic } from './atomic-file.ts';

export interface AdapterToSave {
  readonly parameters: readonly Parameter[];
  readonly modelConfig: ModelConfig;
  readonly config: Pick<ResolvedRunConfig, 'lora' | 'model'>;
}

/** `base_model.model.` + Hugging Face's module + `.lora_A.weight` or `.lora_B.weight`. */
const namePattern = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

function parseName(name: string): { module: string; half: 'A' | 'B' } {
  const match = namePattern.exec(name);
  if (!match?.[1]) throw new TypeError(`"${name}" is no LoRA parameter`);
  return { module: match[1], half: match[2] === 'A' ? 'A' : 'B' };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** adapter_config.json as PEFT writes it for LoRA. */
function peftConfig({ parameters, config }: AdapterToSave): Record<string, unknown> {
  const { rank, alpha, dropout, use_rslora } = config.lora;
  const modules = parameters.map(({ name }) => parseName(name).module.split('.').at(-1) ?? '');
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: basename(config.model.path),
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: {},
    revision: null,
    target_modules: [...new Set(modules)].toSorted(),
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora,
  };
}

async function writePeft(output: string, adapter: AdapterToSave): Promise<void> {
  await using sink = await openFileSink(join(output, 'adapter_model.safetensors'));
  await writeSafetensors(sink, {
    metadata: new Map([['format', 'pt']]),
    tensors: adapter.parameters.map(({ name, shape, data }) => ({
      name,
      dtype: 'F32',
      shape,
      data: bytesOf(data),
    })),
  });
  await sink.commit();
  await writeJsonAtomic(join(output, 'adapter_config.json'), peftConfig(adapter));
}

/** Name and values of one half as llama.cpp wants them. */
function ggufHalf({ name, shape, data }: Parameter, config: ModelConfig) {
  const { module, half } = parseName(name);
  const base = ggufTensorName(`${module}.weight`);
  if (base === undefined) throw new TypeError(`GGUF has no tensor for "${module}"`);
  const heads = module.endsWith('.q_proj')
    ? config.num_attention_heads
    : module.endsWith('.k_proj')
      ? config.num_key_value_heads
      : null;
  const permuted = half === 'B' && heads !== null && permutesQk(config.architecture);
  return {
    name: `${base}.lora_${half.toLowerCase()}`,
    type: 'F32' as const,
    shape,
    data: () => bytesOf(permuted ? permuteQk(data, shape[0] ?? 0, heads) : data),
  };
}

async function writeAdapterGguf(output: string, adapter: AdapterToSave): Promise<void> {
  const { modelConfig, config, parameters } = adapter;
  const architecture = modelConfigToGguf(modelConfig).get('general.architecture');
  await using sink = await openFileSink(join(output, 'adapter.gguf'));
  await writeGguf(sink, {
    metadata: new Map([
      ['general.architecture', architecture ?? gguf.string(modelConfig.architecture)],
      ['general.type', gguf.string('adapter')],
      ['adapter.type', gguf.string('lora')],
      // llama.cpp scales by alpha / rank and knows no other rule.
      ['adapter.lora.alpha', gguf.float32(loraScale(config.lora) * config.lora.rank)],
    ]),
    tensors: parameters.map((parameter) => ggufHalf(parameter, modelConfig)),
  });
  await sink.commit();
}

/** Writes adapter_model.safetensors, adapter_config.json and adapter.gguf into `output`. */
export async function saveAdapter(output: string, adapter: AdapterToSave): Promise<void> {
  await writePeft(output, adapter);
  await writeAdapterGguf(output, adapter);
}
