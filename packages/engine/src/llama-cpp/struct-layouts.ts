// The structs of llama.h (and two of ggml.h) that cross the FFI, as ONE table: member names, C types and
// order. koffi lays them out from here, and `expected-layout.ts` holds what a C compiler says of the
// pinned release's header. Knows no library and no function.
import koffi from 'koffi';

/** llama.cpp release these layouts were read from, as `llama_version()` says it. */
export const expectedVersion = '0.5.0-dev';

const pointer = 'void *';

export const structLayouts = {
  llama_model_params: {
    devices: pointer,
    tensor_buft_overrides: pointer,
    n_gpu_layers: 'int32_t',
    split_mode: 'int',
    load_mode: 'int',
    lazy_mode: 'int',
    main_gpu: 'int32_t',
    tensor_split: pointer,
    progress_callback: pointer,
    progress_callback_user_data: pointer,
    kv_overrides: pointer,
    vocab_only: 'bool',
    check_tensors: 'bool',
    use_extra_bufts: 'bool',
    no_host: 'bool',
    no_alloc: 'bool',
    load_mtp: 'bool',
  },
  llama_context_params: {
    n_ctx: 'uint32_t',
    n_batch: 'uint32_t',
    n_ubatch: 'uint32_t',
    n_seq_max: 'uint32_t',
    n_rs_seq: 'uint32_t',
    n_outputs_max: 'uint32_t',
    n_outputs_max_per_seq: 'uint32_t',
    n_threads: 'int32_t',
    n_threads_batch: 'int32_t',
    ctx_type: 'int',
    rope_scaling_type: 'int',
    pooling_type: 'int',
    attention_type: 'int',
    flash_attn_type: 'int',
    rope_freq_base: 'float',
    rope_freq_scale: 'float',
    yarn_ext_factor: 'float',
    yarn_attn_factor: 'float',
    yarn_beta_fast: 'float',
    yarn_beta_slow: 'float',
    yarn_orig_ctx: 'uint32_t',
    defrag_thold: 'float',
    cb_eval: pointer,
    cb_eval_user_data: pointer,
    type_k: 'int',
    type_v: 'int',
    abort_callback: pointer,
    abort_callback_data: pointer,
    embeddings: 'bool',
    offload_kqv: 'bool',
    no_perf: 'bool',
    op_offload: 'bool',
    swa_full: 'bool',
    kv_unified: 'bool',
    samplers: pointer,
    n_samplers: 'size_t',
    ctx_other: pointer,
  },
  llama_batch: {
    n_tokens: 'int32_t',
    token: pointer,
    embd: pointer,
    pos: pointer,
    n_seq_id: pointer,
    seq_id: pointer,
    logits: pointer,
  },
  llama_model_quantize_params: {
    nthread: 'int32_t',
    ftype: 'int',
    output_tensor_type: 'int',
    token_embedding_type: 'int',
    allow_requantize: 'bool',
    quantize_output_tensor: 'bool',
    only_copy: 'bool',
    pure: 'bool',
    keep_split: 'bool',
    dry_run: 'bool',
    imatrix: pointer,
    kv_overrides: pointer,
    tt_overrides: pointer,
    prune_layers: pointer,
    max_buf_size: 'size_t',
  },
  // The union of values is as large and as aligned as its largest members: 128 bytes, 8.
  llama_model_kv_override: {
    tag: 'int',
    key: 'char[128]',
    val_i64: 'int64_t[16]',
  },
  ggml_threadpool_params: {
    cpumask: 'bool[512]',
    n_threads: 'int',
    prio: 'int',
    poll: 'uint32_t',
    strict_cpu: 'bool',
    paused: 'bool',
  },
  // Never passed: the evaluation callback reads members of it in place (native-tensors.ts).
  ggml_tensor: {
    type: 'int',
    buffer: pointer,
    ne: 'int64_t[4]',
    nb: 'size_t[4]',
    op: 'int',
    op_params: 'int32_t[16]',
    flags: 'int32_t',
    src: 'void *[10]',
    view_src: pointer,
    view_offs: 'size_t',
    data: pointer,
    name: 'char[64]',
    extra: pointer,
    padding: 'char[8]',
  },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

export type StructName = keyof typeof structLayouts;
export const structNames = Object.keys(structLayouts) as StructName[];

/** Values of a struct by member; pointers are addresses. */
export type StructValue<Name extends StructName> = {
  -readonly [Member in keyof (typeof structLayouts)[Name]]: unknown;
};

export const structTypes = Object.fromEntries(
  structNames.map((name) => [name, koffi.struct(name, structLayouts[name])]),
) as Record<StructName, ReturnType<typeof koffi.struct>>;

/** `struct` or `struct.member` → [offset, size] in bytes; a struct's own offset is 0. */
export type LayoutTable = Readonly<Record<string, readonly [offset: number, size: number]>>;

/** The layout as koffi computes it, in the form of `expected-layout.ts`. */
export function measureLayout(): LayoutTable {
  const table: Record<string, readonly [number, number]> = {};
  for (const name of structNames) {
    const type = structTypes[name];
    table[name] = [0, koffi.sizeof(type)];
    for (const [member, { offset, type: memberType }] of Object.entries(type.members ?? {}))
      table[`${name}.${member}`] = [offset, memberType.size];
  }
  return table;
}
