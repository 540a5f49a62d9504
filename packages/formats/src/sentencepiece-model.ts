// A SentencePiece model file (tokenizer.model): its pieces with scores and types, and the settings that
// decide how text is cut. Source: google/sentencepiece, sentencepiece_model.proto.
import { FormatError } from './format-error.ts';
import { maxGgufKeyBytes, maxVocabulary } from './limits.ts';
import { readFields } from './protobuf-reader.ts';
import { tokenTypes } from './token-types.ts';

export interface SentencePieceModel {
  readonly pieces: readonly string[];
  readonly scores: readonly number[];
  /** The numbers of SentencePiece and of GGUF are the same. */
  readonly types: readonly number[];
  /** Ids by their role; absent ones are undefined. */
  readonly ids: Readonly<Record<'unk' | 'bos' | 'eos' | 'pad', number | undefined>>;
  readonly addsSpacePrefix: boolean;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodePiece(bytes: Uint8Array): string {
  if (bytes.length > maxGgufKeyBytes) throw new FormatError(`a piece has ${bytes.length} bytes`);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new FormatError('a piece is not UTF-8', { cause });
  }
}

function readPiece(bytes: Uint8Array): { piece: string; score: number; type: number } {
  let piece = '';
  let score = 0;
  let type: number = tokenTypes.normal;
  for (const field of readFields(bytes)) {
    if (field.number === 1 && field.kind === 'bytes') piece = decodePiece(field.bytes);
    else if (field.number === 2 && field.kind === 'fixed32') {
      const { buffer, byteOffset } = field.bytes;
      score = new DataView(buffer, byteOffset, 4).getFloat32(0, true);
    } else if (field.number === 3 && field.kind === 'varint') type = field.value;
  }
  return { piece, score, type };
}

/** The numbers of a message by field; lengths of its texts under theirs. */
function readNumbers(bytes: Uint8Array | undefined): ReadonlyMap<number, number> {
  const numbers = new Map<number, number>();
  if (bytes === undefined) return numbers;
  for (const field of readFields(bytes))
    numbers.set(field.number, field.kind === 'varint' ? field.value : field.bytes.length);
  return numbers;
}

/** Field numbers of TrainerSpec and NormalizerSpec. */
const trainer = { modelType: 3, unk: 40, bos: 41, eos: 42, pad: 43 } as const;
const normalizer = { charsMap: 2, addDummyPrefix: 3, removeExtraSpaces: 4 } as const;
const bytePair = 2;

const unsupported = (reason: string): FormatError =>
  new FormatError(`the SentencePiece model ${reason}`, { code: 'model_unsupported' });

/** Throws FormatError: `model_unsupported` for models that cut text in other ways than Llama's. */
export function readSentencePieceModel(bytes: Uint8Array): SentencePieceModel {
  const pieces: string[] = [];
  const scores: number[] = [];
  const types: number[] = [];
  let trainerSpec: Uint8Array | undefined;
  let normalizerSpec: Uint8Array | undefined;
  for (const field of readFields(bytes)) {
    if (field.kind !== 'bytes') continue;
    if (field.number === 1) {
      if (pieces.length >= maxVocabulary)
        throw new FormatError(`the vocabulary has more than ${maxVocabulary} pieces`);
      const { piece, score, type } = readPiece(field.bytes);
      pieces.push(piece);
      scores.push(score);
      types.push(type);
    } else if (field.number === 2) trainerSpec = field.bytes;
    else if (field.number === 3) normalizerSpec = field.bytes;
  }
  if (pieces.length === 0) throw new FormatError('the SentencePiece model has no pieces');
  const training = readNumbers(trainerSpec);
  const normalizing = readNumbers(normalizerSpec);
  // The default of the format is unigram.
  if ((training.get(trainer.modelType) ?? 1) !== bytePair)
    throw unsupported('is no byte-pair model');
  if ((normalizing.get(normalizer.charsMap) ?? 0) > 0)
    throw unsupported('rewrites characters before it cuts (a normalization rule)');
  if ((normalizing.get(normalizer.removeExtraSpaces) ?? 1) !== 0)
    throw unsupported('removes repeated spaces');
  const id = (field: number, fallback: number | undefined): number | undefined => {
    const value = training.get(field) ?? fallback;
    return value !== undefined && value < pieces.length ? value : undefined;
  };
  return {
    pieces,
    scores,
    types,
    ids: {
      unk: id(trainer.unk, 0),
      bos: id(trainer.bos, 1),
      eos: id(trainer.eos, 2),
      pad: id(trainer.pad, undefined),
    },
    addsSpacePrefix: (normalizing.get(normalizer.addDummyPrefix) ?? 1) !== 0,
  };
}
