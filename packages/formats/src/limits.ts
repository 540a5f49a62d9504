// Every bound that the parsers of this package enforce before they allocate, each with its reason.
// A real file that meets one of these is news: raise the number here, and only here.

const mebibyte = 1024 * 1024;

/** Metadata and tensor infos of a GGUF. Largest known: 262,144 tokens with merges, about 15 MiB. */
export const maxGgufHeaderBytes: number = 64 * mebibyte;
/** Key/value pairs of a GGUF. Real files have 20 to 80; llama.cpp compares each pair with all others. */
export const maxGgufEntries = 4096;
/** Tensors of one file. Llama 3.1 405B has 1,138; unfused mixtures of experts reach 30,000. */
export const maxTensors = 65_536;
/** Bytes of a metadata key: the GGUF specification's 2^16 - 1. */
export const maxGgufKeyBytes = 65_535;
/** Bytes of one metadata string. The longest real ones are chat templates of some 20 KiB. */
export const maxGgufStringBytes: number = 4 * mebibyte;
/** Items of one metadata array. Largest known: 514,906 merges. */
export const maxGgufArrayItems = 1_048_576;
/** Items of all metadata arrays of a file together: arrays of strings cost memory per item. */
export const maxGgufTotalItems = 4_194_304;
/** Depth of arrays in arrays. llama.cpp refuses any; the specification allows them. */
export const maxGgufArrayDepth = 4;
/** ggml's GGML_MAX_DIMS: longer shapes cannot be loaded. */
export const maxDims = 4;
/** ggml's GGML_MAX_NAME - 1: llama.cpp refuses longer tensor names. */
export const maxGgufTensorNameBytes = 63;
/** Alignment of tensor data. 32 everywhere in practice; 64 KiB covers every page size in use. */
export const maxGgufAlignment = 65_536;
/** One tensor in memory: 2^33 bytes is about the largest ArrayBuffer of V8; a 70B's largest f32 is 2 GiB. */
export const maxTensorBytes: number = 8192 * mebibyte;

/** Header of a safetensors file: the limit of the reference implementation. */
export const maxSafetensorsHeaderBytes = 100_000_000;
/** Nesting of a JSON document: a safetensors header needs 3, tokenizer.json about 8. */
export const maxJsonDepth = 64;
/** Characters of a tensor name in safetensors. Real ones stay under 200. */
export const maxSafetensorsNameLength = 1024;
/** Dimensions in safetensors; wider than ggml's because vision towers have five. */
export const maxSafetensorsDims = 8;
/** Size of config.json, tokenizer_config.json, generation_config.json. Real ones stay under 64 KiB. */
export const maxConfigBytes: number = 8 * mebibyte;
/** Size of tokenizer.json and of shard indices. Llama 3's tokenizer.json has 17 MiB. */
export const maxTokenizerBytes: number = 128 * mebibyte;
/** Shards of one model: the largest published has fewer than 200. */
export const maxShards = 1000;

/** Decoder blocks: llama.cpp aborts the process above LLAMA_MAX_LAYERS. */
export const maxBlocks = 512;
/** Attention heads of one layer; the largest published model has 128. */
export const maxHeads = 4096;
/** Width of the residual stream and of the feed-forward layer; the largest published: 53,248. */
export const maxWidth = 1_048_576;
/** Tokens of a vocabulary; the largest published: 262,144. */
export const maxVocabulary = 1_048_576;
