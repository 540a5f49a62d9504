// The struct layouts behind the FFI: koffi's against the committed table, the table against a compiler
// (when CORRAL_LLAMA_H names the pinned release's llama.h), and the library against both.
import { describe, expect, it } from 'vitest';
import { expectedLayout } from '../../packages/engine/src/llama-cpp/expected-layout.ts';
import { openLlama } from '../../packages/engine/src/llama-cpp/functions.ts';
import { probeLayout } from '../../packages/engine/src/llama-cpp/layout-probe.ts';
import {
  expectedVersion,
  measureLayout,
} from '../../packages/engine/src/llama-cpp/struct-layouts.ts';

const header = process.env['CORRAL_LLAMA_H'];

describe('struct layouts', () => {
  it('are the same in koffi and in the committed table', () => {
    expect(measureLayout()).toEqual(expectedLayout);
    expect(Object.keys(expectedLayout).length).toBeGreaterThan(80);
  });

  it.runIf(header !== undefined)('are what a C compiler makes of the header', () => {
    expect(probeLayout(header ?? '')).toEqual(expectedLayout);
  });

  it('carry the defaults of the pinned release where its header puts them', () => {
    const llama = openLlama();
    expect(llama.version()).toBe(expectedVersion);
    expect(llama.contextParams()).toMatchObject({
      n_ctx: 512,
      n_batch: 2048,
      n_ubatch: 512,
      n_seq_max: 1,
      n_threads: 4,
      rope_scaling_type: -1,
      yarn_ext_factor: -1,
      yarn_attn_factor: -1,
      type_k: 1,
      type_v: 1,
      offload_kqv: true,
      no_perf: true,
      kv_unified: false,
      ctx_other: null,
    });
    expect(llama.quantizeParams()).toMatchObject({
      nthread: 0,
      ftype: 7,
      quantize_output_tensor: true,
      dry_run: false,
      imatrix: null,
    });
    expect(llama.modelParams()).toMatchObject({
      main_gpu: 0,
      vocab_only: false,
      check_tensors: false,
      use_extra_bufts: true,
    });
  });
});
