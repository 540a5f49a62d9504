// An engine child for measuring the server: every stream gets one token a step, all of a step in one
// message, as llama.cpp's child does it. Costs nothing else. Run by gateway-streams.ts, by fork.
import { engineRequestSchema } from '@corral/contracts';
import type { EngineMessage, EngineRequest, GenerationEvent } from '@corral/contracts';

type Generate = Extract<EngineRequest, { type: 'generate' }>;

/** As fast as 32 streams of a small model decode. */
const stepMs = 5;
const words =
  ' the boat leaves at nine from pier four, and it takes an hour to cross the bay.'.split(/(?= )/);
const send = (message: EngineMessage): void => void process.send?.(message);

const running = new Map<string, { request: Generate; at: number }>();
let timer: NodeJS.Timeout | null = null;

function step(): void {
  const events: GenerationEvent[] = [];
  for (const [id, state] of running) {
    const { request, at } = state;
    const text = words[at % words.length] ?? '';
    const token = 1000 + (at % 40_000);
    state.at += 1;
    const entry = { token, text, bytes: [...Buffer.from(text)], logprob: -0.5 };
    const top = Array.from({ length: request.top_logprobs ?? 0 }, () => entry);
    const logprobs = request.top_logprobs === null ? {} : { logprobs: [{ ...entry, top }] };
    const isLast = state.at >= request.max_tokens;
    if (isLast) running.delete(id);
    const counts = { prompt_tokens: 10, completion_tokens: state.at, cached_tokens: 0 };
    const finish = isLast ? { finish: { reason: 'length' as const, ...counts } } : {};
    events.push({ id, text, tokens: [token], ...logprobs, ...finish });
  }
  if (events.length > 0) send({ type: 'tokens', events });
  timer = running.size > 0 ? setTimeout(step, stepMs) : null;
}

process.on('message', (message) => {
  const request = engineRequestSchema.parse(message);
  const { id } = request;
  const result = (value: unknown): void => send({ type: 'result', id, value });
  if (request.type === 'load') {
    const shape = { architecture: 'llama', n_vocab: 50_000, n_ctx: 100_000, n_ctx_train: 100_000 };
    send({ type: 'ready', id, model: { ...shape, n_params: 1, size_bytes: 1, build: 'steady' } });
  } else if (request.type === 'generate') {
    running.set(id, { request, at: 0 });
    timer ??= setTimeout(step, stepMs);
  } else if (request.type === 'cancel') {
    running.delete(request.target);
    result({});
  } else if (request.type === 'shutdown') process.exit(0);
  else if (request.type === 'status') {
    const none = { queued: 0, adapters: [], memory_bytes: 0, tokens_generated: 0, steps: 0 };
    result({ active: running.size, ...none });
  } else result({ text: '', tokens: [] });
});
process.on('disconnect', () => process.exit(0));
