// How a token and its likeliest alternatives are told to clients: text, bytes, natural log-probability of
// the model's own distribution.
import type { TokenLogprob } from '@corral/contracts';
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';
import { pieceText } from '../prompt/utf8-assembler.ts';
import { tokenLogprobs } from '../sampling/logprobs.ts';

export interface LogprobOptions {
  readonly vocabulary: NativeVocabulary;
  /** Alternatives to tell. */
  readonly alternatives: number;
}

/** `token` under the distribution of `row` [vocabulary], the row that predicts it. */
export function describeLogprob(
  row: Float32Array,
  token: number,
  { vocabulary, alternatives }: LogprobOptions,
): TokenLogprob {
  const describe = (id: number, logprob: number) => {
    const bytes = vocabulary.piece(id);
    return { token: id, text: pieceText(bytes), bytes: [...bytes], logprob };
  };
  const { own, top } = tokenLogprobs(row, token, alternatives);
  return { ...describe(token, own), top: top.map(([id, logprob]) => describe(id, logprob)) };
}
