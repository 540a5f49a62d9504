// Public surface of @corral/formats: readers and writers of model files over byte sources and sinks.
export {
  blockLevels,
  isLeveled,
  leveledTypes,
  type BlockLevels,
  type LeveledType,
} from './block-levels.ts';
export { memorySink, openFileSink, type ByteSink, type FileSink } from './byte-sink.ts';
export { memorySource, openFileSource, type ByteSource } from './byte-source.ts';
export { dequantise } from './dequantise.ts';
export { detectFormat, type ModelFormat } from './detect-format.ts';
export { FormatError, type FormatErrorCode } from './format-error.ts';
export {
  gguf,
  metadataBoolean,
  metadataNumber,
  metadataNumbers,
  metadataString,
  metadataStrings,
  type GgufArray,
  type GgufMetadata,
  type GgufValue,
} from './gguf-metadata.ts';
export { readGguf, type GgufFile, type GgufTensorInfo } from './gguf-reader.ts';
export { validateModelHeader } from './gguf-validate.ts';
export { writeGguf, type GgufTensorToWrite, type GgufToWrite } from './gguf-writer.ts';
export { expectedTensors } from './expected-tensors.ts';
export { mergeLoraRows, withLora, type LoraProduct } from './merge-lora.ts';
export { modelConfigToGguf } from './model-config-gguf.ts';
export { modelConfigFromJson, modelConfigToJson } from './model-config-json.ts';
export {
  permutesQk,
  type Architecture,
  type ModelConfig,
  type RopeScaling,
} from './model-config.ts';
export { readModelConfig } from './read-model-config.ts';
export { ropeFactors, ropeFrequencies, ropeMagnitude } from './rope-frequencies.ts';
export { writeWeightsFolder, type FolderDtype } from './model-folder.ts';
export {
  convertFolderToGguf,
  convertWeightsToGguf,
  modelToGguf,
  type GgufForm,
} from './model-to-gguf.ts';
export { openModelWeights, type ModelTensor, type ModelWeights } from './model-weights.ts';
export { permuteQk, unpermuteQk } from './permute-qk.ts';
export { quantise, type QuantisableType } from './quantise.ts';
export { openSafetensors, type SafetensorsFolder } from './safetensors-folder.ts';
export {
  readSafetensors,
  type SafetensorsFile,
  type SafetensorsTensorInfo,
} from './safetensors-reader.ts';
export { writeSafetensorsFolder } from './safetensors-shards.ts';
export {
  writeSafetensors,
  type SafetensorsTensorToWrite,
  type SafetensorsToWrite,
} from './safetensors-writer.ts';
export { ggufTensorName, hfTensorName } from './tensor-names.ts';
export { tensorTypes, type TensorType } from './tensor-types.ts';
export {
  plainTextTokenizer,
  tokenizerJsonFromGguf,
  type TokenizerFiles,
} from './tokenizer-from-gguf.ts';
export { readTokenizerFolder } from './tokenizer-folder.ts';
export { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';
