// An engine child that speaks the contract and knows nothing: it says what the prompt tells it to say.
// Stands in for llama.cpp in tests of the server; run as a process by fork, imported only for its URL.
//   last user message "say TEXT"       the words of TEXT, one token each
//                     "echo"           the rendered prompt
//                     "count N [MS]"   "1 2 … N", one number every MS milliseconds
//                     "crash" | "freeze" | "fail"   dies, stops answering, answers with an error
//   anything else                      "I do not know: <message>"
// With an adapter every answer starts with its id. A model whose path holds "refused" or "dies" does so.
import { copyFileSync } from 'node:fs';
import type {
  EngineMessage,
  EngineRequest,
  GenerationEvent,
  Prompt,
  ScoreResult,
} from '@corral/contracts';
import { engineRequestSchema } from '@corral/contracts';

export const fakeEngineUrl = new URL(import.meta.url);

const contextTokens = 1000;
const encode = (text: string): number[] => Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
const renderText = (prompt: Prompt): string => {
  if (prompt.kind === 'text') return prompt.text;
  if (prompt.kind === 'tokens') return String.fromCodePoint(...prompt.tokens);
  const turns = prompt.messages.map(({ role, content }) => `<${role}>${content}\n`);
  return `${turns.join('')}<assistant>`;
};

function answerTo(prompt: Prompt): { pieces: string[]; pauseMs: number } {
  const text = renderText(prompt);
  const asked =
    prompt.kind === 'messages'
      ? (prompt.messages.findLast((m) => m.role === 'user')?.content ?? '')
      : text;
  const [verb = '', ...words] = asked.split(' ');
  const rest = words.join(' ');
  if (verb === 'say') return { pieces: rest.match(/\s*\S+/g) ?? [], pauseMs: 0 };
  if (verb === 'echo') return { pieces: [text], pauseMs: 0 };
  if (verb === 'count') {
    const numbers = Array.from({ length: Number(words[0]) }, (_, i) => `${i + 1} `);
    return { pieces: numbers, pauseMs: Number(words[1] ?? 0) };
  }
  return { pieces: ['I do not know: ', asked], pauseMs: 0 };
}

interface Running {
  timer: NodeJS.Timeout | null;
  finish(reason: 'cancelled'): void;
}

function serve(send: (message: EngineMessage) => void): (request: EngineRequest) => void {
  const running = new Map<string, Running>();
  const adapters = new Set<string>();
  let tokens = 0;
  let steps = 0;
  const emit = (event: GenerationEvent): void => send({ type: 'tokens', events: [event] });

  const generate = (request: Extract<EngineRequest, { type: 'generate' }>): void => {
    const { id, prompt, max_tokens: maxTokens, adapter_id: adapter } = request;
    const asked = answerTo(prompt);
    const pieces = adapter ? [`[${adapter.slice(0, 4)}] `, ...asked.pieces] : asked.pieces;
    const prompt_tokens = encode(renderText(prompt)).length;
    let at = 0;
    let text = '';
    const end = (reason: 'stop' | 'length' | 'cancelled', piece = ''): void => {
      running.delete(id);
      const finish = { reason, prompt_tokens, completion_tokens: at, cached_tokens: 0 };
      emit({ id, text: piece, tokens: [], finish });
    };
    const step = (): void => {
      steps++;
      if (at >= pieces.length || at >= maxTokens) {
        end(at >= pieces.length ? 'stop' : 'length');
        return;
      }
      const piece = pieces[at++] ?? '';
      tokens++;
      const cut = request.stop.map((stop) => (text + piece).indexOf(stop)).filter((i) => i >= 0);
      if (cut.length > 0) {
        end('stop', (text + piece).slice(text.length, Math.max(...cut, text.length)));
        return;
      }
      text += piece;
      const top = { token: at, text: piece, bytes: [...Buffer.from(piece)], logprob: -0.1 };
      const logprobs =
        request.top_logprobs === null
          ? {}
          : {
              logprobs: [{ ...top, top: Array.from({ length: request.top_logprobs }, () => top) }],
            };
      emit({ id, text: piece, tokens: [at], ...logprobs });
      schedule();
    };
    const schedule = (): void => {
      const state = running.get(id);
      if (state) state.timer = setTimeout(step, asked.pauseMs);
    };
    running.set(id, { timer: null, finish: (reason) => end(reason) });
    schedule();
  };

  const score = (request: Extract<EngineRequest, { type: 'score' }>): ScoreResult => ({
    prompt_tokens: encode(renderText(request.prompt)),
    positions: request.forced_tokens.map((token, i) => {
      // A model path or adapter cannot change what a fake thinks; a forced 999 makes it disagree.
      const argmax = token === 999 ? 1 : token;
      return {
        argmax,
        top_logprobs: [[argmax, Math.log(0.9)]],
        wanted_logprobs: (request.wanted[i] ?? []).map((wanted) =>
          wanted === argmax ? Math.log(0.9) : Math.log(0.01),
        ),
      };
    }),
  });

  const fail = (id: string, reason: string): void =>
    send({ type: 'error', id, error: { code: 'engine_failed', params: { reason } } });

  const special = (request: Extract<EngineRequest, { type: 'generate' }>): boolean => {
    const { prompt, id } = request;
    const asked = prompt.kind === 'messages' ? prompt.messages.at(-1)?.content : '';
    if (asked === 'crash') process.kill(process.pid, 'SIGKILL');
    if (asked === 'freeze') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    if (asked === 'fail') fail(id, 'as asked');
    return asked === 'crash' || asked === 'fail';
  };

  const tooLong = (request: Extract<EngineRequest, { type: 'generate' }>): boolean => {
    const prompt_tokens = encode(renderText(request.prompt)).length;
    if (prompt_tokens + Math.max(request.max_tokens, 1) <= contextTokens) return false;
    const params = { prompt_tokens, max_tokens: request.max_tokens, n_ctx: contextTokens };
    send({ type: 'error', id: request.id, error: { code: 'context_length_exceeded', params } });
    return true;
  };

  return (request) => {
    const { id } = request;
    const result = (value: unknown): void => send({ type: 'result', id, value });
    switch (request.type) {
      case 'load':
        if (request.model_path.includes('dies')) process.exit(3);
        if (request.model_path.includes('refused')) fail(id, 'refused');
        else {
          const model = { architecture: 'llama', n_vocab: 1_114_112, n_ctx: contextTokens };
          const facts = { n_ctx_train: 8192, n_params: 1000, size_bytes: 1000, build: 'fake-1' };
          send({ type: 'ready', id, model: { ...model, ...facts } });
        }
        return;
      case 'load_adapter':
        if (request.path.includes('missing')) fail(id, 'there is no such file');
        else {
          adapters.add(request.adapter_id);
          result({});
        }
        return;
      case 'unload_adapter':
        adapters.delete(request.adapter_id);
        result({});
        return;
      case 'generate':
        if (!special(request) && !tooLong(request)) generate(request);
        return;
      case 'cancel': {
        const target = running.get(request.target);
        if (target?.timer) clearTimeout(target.timer);
        target?.finish('cancelled');
        result({});
        return;
      }
      case 'render': {
        const text = renderText(request.prompt);
        result({ text, tokens: encode(text) });
        return;
      }
      case 'score':
        result(score(request));
        return;
      case 'quantize':
        copyFileSync(request.source, request.target);
        result({});
        return;
      case 'status':
        result({
          active: running.size,
          queued: 0,
          adapters: [...adapters].map((name) => ({ id: name, bytes: 1 })),
          memory_bytes: process.memoryUsage.rss(),
          tokens_generated: tokens,
          steps,
        });
        return;
      case 'shutdown':
        process.exit(0);
        return;
      default:
        request satisfies never;
    }
  };
}

if (process.argv[1] === import.meta.filename) {
  const handle = serve((message) => process.send?.(message));
  process.on('message', (message) => handle(engineRequestSchema.parse(message)));
  process.on('disconnect', () => process.exit(0));
}
