// Teacher forcing: feeds prompt and forced tokens and reports the distribution that predicts each forced
// token. The parity check compares it with the trainer's.
import { CorralError, type EngineRequest, type ScoreResult } from '@corral/contracts';
import type { NativeAdapter } from '../llama-cpp/native-types.ts';
import { logprobsOf, topLogprobs } from '../sampling/logprobs.ts';
import { argmax } from '../sampling/softmax.ts';
import type { SequenceTask } from '../scheduler/sequence-task.ts';

export type ScoreRequest = Extract<EngineRequest, { type: 'score' }>;

export interface ScoreTaskOptions {
  readonly request: ScoreRequest;
  readonly promptTokens: readonly number[];
  readonly adapter: NativeAdapter | null;
  readonly finish: (result: ScoreResult) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

/** Checks share one queue of their own, so they are fair towards the tenants. */
const tenant = '\0score';

export function createScoreTask(options: ScoreTaskOptions): SequenceTask {
  const { request, promptTokens, adapter } = options;
  const forced = request.forced_tokens;
  // The last forced token is predicted, never fed.
  const tokens = [...promptTokens, ...forced].slice(0, -1);
  const positions: ScoreResult['positions'][number][] = [];
  let finished = false;

  function fail(error: CorralError): void {
    if (finished) return;
    finished = true;
    options.fail(request.id, error);
  }

  return {
    id: request.id,
    tenant,
    adapter,
    tokens,
    get finished() {
      return finished;
    },
    wantsLogits: (position) => position >= promptTokens.length - 1,
    acceptLogits: (position, row) => {
      positions.push({
        argmax: argmax(row),
        top_logprobs: topLogprobs(row, request.top_logprobs),
        wanted_logprobs: logprobsOf(row, request.wanted[position - promptTokens.length + 1] ?? []),
      });
      if (positions.length < forced.length) return;
      finished = true;
      options.finish({ prompt_tokens: promptTokens, positions });
    },
    cancel: () => fail(new CorralError('cancelled')),
    fail,
  };
}
