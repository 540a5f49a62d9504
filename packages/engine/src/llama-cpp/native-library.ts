// The library as the rest of the engine sees it: load a model, re-encode a file.
import { CorralError } from '@corral/contracts';
import { openLlama } from './functions.ts';
import { loadModel } from './native-model.ts';
import type { NativeLibrary, QuantizedType } from './native-types.ts';

/** Values of `enum llama_ftype`. */
const fileTypes: Record<QuantizedType, number> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q8_0: 7,
  q4_k_m: 15,
  q5_k_m: 17,
  q6_k: 18,
  bf16: 32,
};

/** Throws CorralError `native_library_missing` when the libraries are absent or of another release. */
export function openNativeLibrary(): NativeLibrary {
  const llama = openLlama();
  return {
    release: llama.version(),
    hasGpu: llama.hasGpu(),
    loadModel,
    quantize: async ({ source, target, type, threads }) => {
      const params = llama.quantizeParams();
      params.ftype = fileTypes[type];
      params.nthread = threads;
      params.allow_requantize = true;
      const code = await llama.quantizeAsync(source, target, params);
      if (code !== 0)
        throw new CorralError('model_file_invalid', {
          params: { path: source, reason: `llama.cpp could not re-encode it as ${type}` },
        });
    },
  };
}
