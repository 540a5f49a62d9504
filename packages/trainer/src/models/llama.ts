// The one architecture of the Llama family, with every knob: grouped-query attention, tied or untied
// embeddings, bias on q, k and v (Qwen2), norms on the heads of q and k (Qwen3), sliding windows (by the
// mask), scaled rotary angles (by the tables). Says which tensors a layer has and what it computes with
// them; knows neither where the numbers are nor how the graph is run.
import type { LoraTarget } from '@corral/contracts';
import { loraTargets } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import type { Rotation } from '../graph/ops.ts';
import { add, mul, rmsNorm, silu } from '../graph/ops.ts';
import type { Shape, Value } from '../graph/value.ts';
import type { AttentionWindow } from '../nn/attention.ts';
import { attention } from '../nn/attention.ts';
import type { Matrix } from '../nn/linear.ts';
import { loraLinear } from '../nn/linear.ts';

/** A stored tensor and the named tensors of the file that are its rows, in order. */
export interface TensorSpec {
  /** The name of the graph's input. */
  readonly slot: string;
  readonly shape: Shape;
  readonly parts: readonly { readonly name: string; readonly shape: Shape }[];
}

/** Where a linear layer that can carry LoRA lives. */
interface Projection {
  /** Hugging Face's name inside the layer, without `.weight`. */
  readonly module: string;
  readonly slot: string;
  /** Its rows of the stored weight; as many as it has outputs. */
  readonly rows: readonly [start: number, end: number];
  readonly inputs: number;
}

/** q, k and v are one matrix, so that one product computes them; its rows keep Hugging Face's order. */
const projections = (config: ModelConfig): Record<LoraTarget, Projection> => {
  const { hidden_size: d, intermediate_size: f, head_dim: width } = config;
  const q = config.num_attention_heads * width;
  const kv = config.num_key_value_heads * width;
  const at = (
    module: string,
    slot: string,
    shape: readonly [start: number, end: number, inputs: number],
  ) => ({
    module,
    slot,
    rows: [shape[0], shape[1]] as const,
    inputs: shape[2],
  });
  return {
    q_proj: at('self_attn.q_proj', 'qkv', [0, q, d]),
    k_proj: at('self_attn.k_proj', 'qkv', [q, q + kv, d]),
    v_proj: at('self_attn.v_proj', 'qkv', [q + kv, q + 2 * kv, d]),
    o_proj: at('self_attn.o_proj', 'o', [0, d, q]),
    gate_proj: at('mlp.gate_proj', 'gate', [0, f, d]),
    up_proj: at('mlp.up_proj', 'up', [0, f, d]),
    down_proj: at('mlp.down_proj', 'down', [0, d, f]),
  };
};

/** The base tensors of one decoder layer. */
export const layerTensors = (config: ModelConfig): TensorSpec[] => {
  const { hidden_size: d, head_dim: width } = config;
  const table = projections(config);
  const vector = (slot: string, name: string, length: number): TensorSpec => ({
    slot,
    shape: [length],
    parts: [{ name: `${name}.weight`, shape: [length] }],
  });
  const joined = (slot: string, targets: readonly LoraTarget[], kind: 'weight' | 'bias') => {
    const parts = targets.map((target) => {
      const { module, rows, inputs } = table[target];
      const count = rows[1] - rows[0];
      return { name: `${module}.${kind}`, shape: kind === 'bias' ? [count] : [count, inputs] };
    });
    const rows = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    return { slot, shape: [rows, ...(parts[0]?.shape.slice(1) ?? [])], parts };
  };
  const qkv = ['q_proj', 'k_proj', 'v_proj'] as const;
  return [
    vector('attention_norm', 'input_layernorm', d),
    joined('qkv', qkv, 'weight'),
    ...(config.attention_bias ? [joined('qkv_bias', qkv, 'bias')] : []),
    ...(config.qk_norm
      ? [vector('q_norm', 'self_attn.q_norm', width), vector('k_norm', 'self_attn.k_norm', width)]
      : []),
    joined('o', ['o_proj'], 'weight'),
    vector('mlp_norm', 'post_attention_layernorm', d),
    joined('gate', ['gate_proj'], 'weight'),
    joined('up', ['up_proj'], 'weight'),
    joined('down', ['down_proj'], 'weight'),
  ];
};

/** The adapter tensors of one layer, with PEFT's names inside the layer. */
export const adapterTensors = (
  config: ModelConfig,
  rank: number,
  targets: readonly LoraTarget[],
): TensorSpec[] => {
  const table = projections(config);
  // In the order of the layer, however the targets were listed: files of equal runs are equal.
  return loraTargets
    .filter((target) => targets.includes(target))
    .flatMap((target) => {
      const { module, rows, inputs } = table[target];
      const matrix = (half: 'A' | 'B', shape: Shape): TensorSpec => ({
        slot: `${target}.${half}`,
        shape,
        parts: [{ name: `${module}.lora_${half}.weight`, shape }],
      });
      return [matrix('A', [rank, inputs]), matrix('B', [rows[1] - rows[0], rank])];
    });
};

/** The linear inputs that LoRA's dropout acts on; q, k and v share one mask, as do gate and up. */
export const dropoutSites = ['qkv', 'o', 'gate', 'down'] as const;
export type DropoutSite = (typeof dropoutSites)[number];

/** The layer's matrices by slot, and the name of the input that each multiplies. */
export const matrixSites: Readonly<Record<string, DropoutSite>> = {
  qkv: 'qkv',
  o: 'o',
  gate: 'gate',
  up: 'gate',
  down: 'down',
};

export const dropoutWidths = (config: ModelConfig): Record<DropoutSite, number> => ({
  qkv: config.hidden_size,
  o: config.num_attention_heads * config.head_dim,
  gate: config.hidden_size,
  down: config.intermediate_size,
});

export interface LayerContext {
  readonly config: ModelConfig;
  readonly rows: number;
  readonly steps: number;
  readonly windows: readonly AttentionWindow[];
  readonly masks: readonly Value[];
  readonly rotation: Rotation;
  /** Vectors and adapters by slot. */
  readonly weights: ReadonlyMap<string, Value>;
  /** The layer's large matrices by slot. */
  readonly matrices: ReadonlyMap<string, Matrix>;
  /** alpha / rank; not used without adapters. */
  readonly loraScale: number;
  /** Absent: no dropout. */
  readonly dropoutMasks?: Readonly<Record<DropoutSite, Value>> | undefined;
}

/** One decoder layer: hidden states [B·T, D] → [B·T, D]. */
export const decoderLayer = (x: Value, context: LayerContext): Value => {
  const { config, weights, dropoutMasks } = context;
  const table = projections(config);
  const need = <T extends Value | Matrix>(slot: string, all: ReadonlyMap<string, T>): T => {
    const found = all.get(slot);
    if (!found) throw new TypeError(`no weight in slot ${slot}`);
    return found;
  };
  const stored = (slot: string): Value => need(slot, weights);
  const project = (input: Value, slot: string, site: DropoutSite): Value =>
    loraLinear(
      input,
      { weight: need(slot, context.matrices), bias: weights.get(`${slot}_bias`) },
      {
        adapters: loraTargets
          .filter((target) => table[target].slot === slot && weights.has(`${target}.A`))
          .map((target) => ({
            a: stored(`${target}.A`),
            b: stored(`${target}.B`),
            rows: table[target].rows,
          })),
        scale: context.loraScale,
        dropoutMask: dropoutMasks?.[site],
      },
    );
  const epsilon = config.rms_norm_eps;

  const forAttention = rmsNorm(x, stored('attention_norm'), epsilon);
  const mixed = attention(project(forAttention, 'qkv', 'qkv'), {
    ...context,
    shape: {
      rows: context.rows,
      steps: context.steps,
      heads: config.num_attention_heads,
      keyValueHeads: config.num_key_value_heads,
      headDim: config.head_dim,
    },
    headNorm: config.qk_norm ? { q: stored('q_norm'), k: stored('k_norm'), epsilon } : undefined,
  });
  const attended = add(x, project(mixed, 'o', 'o'));
  const forMlp = rmsNorm(attended, stored('mlp_norm'), epsilon);
  const gated = mul(silu(project(forMlp, 'gate', 'gate')), project(forMlp, 'up', 'gate'));
  return add(attended, project(gated, 'down', 'down'));
};
