// Replays the trainer's golden transcripts on an engine and says how well the two agree. The engine does
// the forward passes; this file compares, judges against the bar and names the likely cause of a
// disagreement. Knows no tables and no HTTP.
import type { Golden, Parity, Prompt, ScoreResult } from '@corral/contracts';
import { promptMessageSchema } from '@corral/contracts';
import type { Engine, EngineAdapter } from '../../engines/engine.ts';
import { isFullPrecision } from '../models/index.ts';
import { bucketedKl } from './divergence.ts';

type Transcript = Golden['transcripts'][number];

interface ParityBar {
  readonly greedyAgreement: number;
  /** Nats. */
  readonly meanKl: number;
}

/**
 * Prompt token ids must always be equal: there is no tolerance for another text. The other two bars stand
 * between what was measured for a healthy adapter (rank 16, SmolLM2 135M, 92 positions; trainer in float32)
 * and for the same model with the adapter left out:
 *
 *   serving weights               F16      Q8_0     Q4_1     Q4_0     no adapter (any)
 *   greedy agreement              1.000    1.000    0.967    0.837    0.53 to 0.55
 *   mean KL, nats                 0.00001  0.0033   0.0024   0.234    1.29 to 1.33
 *
 * Full precision: what is left is the order of sums and the 16-bit cache. Quantised: 8-bit activations
 * move logits by some hundredths, which flips the most likely token only where two are about equally
 * likely; a coarser format than the adapter was trained on (Q4_0 here) answers visibly differently and
 * does not pass.
 */
const bars = {
  full: { greedyAgreement: 0.99, meanKl: 0.005 },
  quantised: { greedyAgreement: 0.9, meanKl: 0.05 },
} as const satisfies Record<string, ParityBar>;

const barFor = (servingFormat: string): ParityBar =>
  isFullPrecision(servingFormat) ? bars.full : bars.quantised;

export interface ReplayOptions {
  readonly engine: Pick<Engine, 'score' | 'render'>;
  readonly adapter: EngineAdapter | null;
  readonly golden: Golden;
  readonly servingFormat: string;
  /** The transcripts name another base than the one that serves. */
  readonly otherBase: boolean;
  readonly signal: AbortSignal;
}

interface Replayed {
  readonly promptDifference: { position: number; expected: number; found: number } | null;
  readonly argmaxDifference: { position: number; expected: number; found: number } | null;
  readonly agreeing: number;
  readonly positions: number;
  readonly klSum: number;
}

const firstDifference = (expected: readonly number[], found: readonly number[]) => {
  const length = Math.max(expected.length, found.length);
  for (let position = 0; position < length; position++) {
    const [a, b] = [expected[position] ?? -1, found[position] ?? -1];
    if (a !== b) return { position, expected: a, found: b };
  }
  return null;
};

/** Roles are checked, so that a damaged file is an error here and not inside the engine. */
const promptOf = ({ messages }: Transcript): Prompt => ({
  kind: 'messages',
  messages: messages.map((message) => promptMessageSchema.parse(message)),
});

function compare(transcript: Transcript, score: ScoreResult): Omit<Replayed, 'promptDifference'> {
  const { greedy_tokens: greedy, top_logprobs: top } = transcript;
  let agreeing = 0;
  let klSum = 0;
  for (const [i, position] of score.positions.entries()) {
    if (position.argmax === greedy[i]) agreeing++;
    klSum += bucketedKl(
      (top[i] ?? []).map(([, logprob]) => logprob),
      position.wanted_logprobs,
    );
  }
  const found = score.positions.map(({ argmax }) => argmax);
  return {
    argmaxDifference: firstDifference(greedy, found),
    agreeing,
    positions: greedy.length,
    klSum,
  };
}

async function replayOne(options: ReplayOptions, transcript: Transcript): Promise<Replayed> {
  const { engine, adapter } = options;
  const expected = transcript.prompt_tokens;
  const rendered = await engine.render(promptOf(transcript));
  // Forced from the trainer's own ids, so that a template that differs is not also counted as weights.
  const score = await engine.score({
    adapter,
    prompt: { kind: 'tokens', tokens: expected },
    forcedTokens: transcript.greedy_tokens,
    topLogprobs: 1,
    wanted: transcript.top_logprobs.map((row) => row.map(([token]) => token)),
  });
  const promptDifference = firstDifference(expected, rendered.tokens);
  return { promptDifference, ...compare(transcript, score) };
}

/** One sentence for a person who wonders why; measured where it can be. */
async function likelyCause(
  options: ReplayOptions,
  transcript: Transcript,
  found: Replayed,
): Promise<string> {
  if (found.promptDifference) {
    return 'the chat template or the tokenizer differs between trainer and engine';
  }
  if (options.otherBase) return 'the transcripts were made with another base model';
  if (options.adapter !== null) {
    const bare = await replayOne({ ...options, adapter: null }, transcript);
    // Without the adapter nothing changes: it is loaded but has no effect.
    if (Math.abs(bare.klSum - found.klSum) <= 1e-4 * Math.max(bare.klSum, 1e-6)) {
      return 'the adapter is not applied: with and without it the engine answers alike';
    }
    // It does most of what it was trained to do: what remains is precision.
    if (!isFullPrecision(options.servingFormat) && found.klSum < bare.klSum / 2) {
      return `rounding by the serving format ${options.servingFormat}`;
    }
  }
  return 'the weights differ: another base, another adapter version or another scale';
}

/** The certificate. `passed` is decided by the bar for the serving format. */
export async function replayGolden(options: ReplayOptions): Promise<Parity> {
  const { golden, servingFormat, signal } = options;
  const total = { agreeing: 0, positions: 0, klSum: 0 };
  let promptsEqual = true;
  let first: { transcript: number; replayed: Replayed } | null = null;
  for (const [index, transcript] of golden.transcripts.entries()) {
    signal.throwIfAborted();
    const replayed = await replayOne(options, transcript);
    promptsEqual &&= replayed.promptDifference === null;
    total.agreeing += replayed.agreeing;
    total.positions += replayed.positions;
    total.klSum += replayed.klSum;
    if (replayed.promptDifference ?? replayed.argmaxDifference) {
      first ??= { transcript: index, replayed };
    }
  }
  const positions = Math.max(total.positions, 1);
  const agreement = total.agreeing / positions;
  const meanKl = total.klSum / positions;
  const bar = barFor(servingFormat);
  const difference = first?.replayed.promptDifference ?? first?.replayed.argmaxDifference ?? null;
  const transcript = first === null ? undefined : golden.transcripts[first.transcript];
  return {
    prompt_tokens_equal: promptsEqual,
    greedy_agreement: agreement,
    mean_kl: meanKl,
    positions: total.positions,
    transcripts: golden.transcripts.length,
    // No positions, no proof.
    passed:
      promptsEqual &&
      total.positions > 0 &&
      agreement >= bar.greedyAgreement &&
      meanKl <= bar.meanKl,
    first_difference:
      first === null || difference === null || transcript === undefined
        ? null
        : {
            transcript: first.transcript,
            ...difference,
            likely_cause: await likelyCause(options, transcript, first.replayed),
          },
    serving_format: servingFormat,
  };
}
