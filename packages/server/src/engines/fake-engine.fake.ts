// An engine child that speaks the contract and knows nothing: it says what the prompt tells it to say.
// Stands in for llama.cpp in tests of the server; run as a process by fork, imported only for its URL.
//   last user message "say TEXT"       the words of TEXT, one token each
//                     "echo"           the rendered prompt
//                     "count N [MS]"   "1 2 … N", one number every MS milliseconds
//                     "show FIELD"     a field of the request as JSON
//                     "call JSON"      calls: [{"name", "arguments": text}], a few letters a step
//                     "crash" | "freeze" | "fail"   dies, stops answering, answers with an error
//                     "full SECONDS"   refuses for want of room, for so long
//   anything else                      "I do not know: <message>"
// A result of a tool is repeated; a tool that must be called is called without arguments. A schema with
// "not" is refused. A prompt asked before by the same tenant comes from the cache.
// With an adapter every answer starts with its id. A model whose path holds "refused" or "dies" does so.
import { copyFileSync, statSync, writeFileSync } from 'node:fs';
import type {
  EmbedResult,
  EngineMessage,
  EngineRequest,
  FinishReason,
  GenerationEvent,
  Prompt,
  ScoreResult,
  TokenLogprob,
  ToolCallDelta,
} from '@corral/contracts';
import { engineRequestSchema } from '@corral/contracts';
import { tinyGguf } from '../features/models/tiny-gguf.fake.ts';

type Send = (message: EngineMessage) => void;
type Of<K extends EngineRequest['type']> = Extract<EngineRequest, { type: K }>;

export const fakeEngineUrl = new URL(import.meta.url);

const contextTokens = 1000;
const encode = (text: string): number[] => Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
const renderText = (prompt: Prompt): string => {
  if (prompt.kind === 'text') return prompt.text;
  if (prompt.kind === 'tokens') return String.fromCodePoint(...prompt.tokens);
  const template = prompt.chat_template ?? '';
  const tools = (prompt.tools ?? []).map(({ name }) => `<tool>${name}\n`);
  const turns = prompt.messages.map(({ role, content }) => `<${role}>${content}\n`);
  return `${template}${tools.join('')}${turns.join('')}<assistant>`;
};

/** What one step brings. */
interface Piece {
  readonly text: string;
  readonly call?: ToolCallDelta;
}
interface Script {
  readonly pieces: readonly Piece[];
  readonly pauseMs: number;
}
const spoken = (pieces: readonly string[], pauseMs = 0): Script => ({
  pieces: pieces.map((text) => ({ text })),
  pauseMs,
});

function called(calls: readonly { name: string; arguments: string }[]): Script {
  const pieces = calls.flatMap(({ name, arguments: text }, index): Piece[] => {
    const parts = text.match(/[^]{1,4}/g) ?? [];
    const head = { index, id: `call_${index}`, name, arguments: '' };
    const deltas = [head, ...parts.map((part) => ({ index, arguments: part }))];
    return deltas.map((call) => ({ text: '', call }));
  });
  return { pieces, pauseMs: 0 };
}

/** The tool that a request leaves no choice but to call. */
function demanded(prompt: Prompt): string | undefined {
  if (prompt.kind !== 'messages') return undefined;
  const { tool_choice: choice, tools } = prompt;
  return typeof choice === 'object'
    ? choice.name
    : choice === 'required'
      ? tools?.[0]?.name
      : undefined;
}

function answerTo(request: Of<'generate'>): Script {
  const { prompt } = request;
  const text = renderText(prompt);
  const last = prompt.kind === 'messages' ? prompt.messages.at(-1) : undefined;
  if (last?.role === 'tool') return spoken([`${last.name} says `, last.content]);
  const asked =
    prompt.kind === 'messages'
      ? (prompt.messages.findLast((m) => m.role === 'user')?.content ?? '')
      : text;
  const [verb = '', ...words] = asked.split(' ');
  const rest = words.join(' ');
  if (verb === 'call') return called(JSON.parse(rest));
  const tool = demanded(prompt);
  if (tool !== undefined) return called([{ name: tool, arguments: '{}' }]);
  if (verb === 'show') return spoken([JSON.stringify(request[rest as keyof typeof request])]);
  if (verb === 'say') return spoken(rest.match(/\s*\S+/g) ?? []);
  if (verb === 'echo') return spoken([text]);
  if (verb === 'count') {
    const numbers = Array.from({ length: Number(words[0]) }, (_, i) => `${i + 1} `);
    return spoken(numbers, Number(words[1] ?? 0));
  }
  return spoken(['I do not know: ', asked]);
}

const fail = (send: Send, id: string, reason: string): void =>
  send({ type: 'error', id, error: { code: 'engine_failed', params: { reason } } });

const logprobOf = (token: number, text: string, count: number): TokenLogprob => {
  const one = { token, text, bytes: [...Buffer.from(text)], logprob: -0.1 };
  return { ...one, top: Array.from({ length: count }, () => one) };
};

interface GenerationOptions {
  readonly emit: (event: GenerationEvent) => void;
  /** Tokens of the prompt that need not be computed again. */
  readonly cachedTokens: number;
}

/** One answer on its way: a piece a step. */
class Generation {
  readonly #request: Of<'generate'>;
  readonly #pieces: readonly Piece[];
  readonly #pauseMs: number;
  readonly #options: GenerationOptions;
  readonly #deadline: NodeJS.Timeout | null;
  #timer: NodeJS.Timeout;
  #at = 0;
  #text = '';

  constructor(request: Of<'generate'>, options: GenerationOptions) {
    const { pieces, pauseMs } = answerTo(request);
    const { adapter_id: adapter, deadline_ms: deadline } = request;
    this.#request = request;
    this.#pieces = adapter ? [{ text: `[${adapter.slice(0, 4)}] ` }, ...pieces] : pieces;
    this.#pauseMs = pauseMs;
    this.#options = options;
    this.#deadline = deadline ? setTimeout(() => this.end('deadline'), deadline) : null;
    if (request.echo) this.#echo();
    this.#timer = setTimeout(() => this.#step(), pauseMs);
  }

  end(reason: FinishReason, piece = ''): void {
    clearTimeout(this.#timer);
    if (this.#deadline) clearTimeout(this.#deadline);
    const finish = {
      reason,
      prompt_tokens: encode(renderText(this.#request.prompt)).length,
      completion_tokens: this.#at,
      cached_tokens: this.#options.cachedTokens,
    };
    this.#options.emit({ id: this.#request.id, text: piece, tokens: [], finish });
  }

  #echo(): void {
    const { id, prompt, top_logprobs: count } = this.#request;
    const text = renderText(prompt);
    const tokens = encode(text);
    const logprobs = tokens.map((token, i) =>
      i === 0 ? null : logprobOf(token, String.fromCodePoint(token), count ?? 0),
    );
    const echoed = { text, tokens, ...(count === null ? {} : { logprobs }) };
    this.#options.emit({ id, text: '', tokens: [], prompt: echoed });
  }

  #step(): void {
    const { id, max_tokens: maxTokens, stop, top_logprobs: count } = this.#request;
    if (this.#at >= this.#pieces.length || this.#at >= maxTokens) {
      const isCall = this.#pieces.at(-1)?.call !== undefined;
      this.end(this.#at < this.#pieces.length ? 'length' : isCall ? 'tool_calls' : 'stop');
      return;
    }
    const { text: piece, call } = this.#pieces[this.#at++] ?? { text: '' };
    const whole = this.#text + piece;
    const cuts = stop.map((word) => whole.indexOf(word)).filter((at) => at >= 0);
    if (cuts.length > 0) {
      this.end('stop', whole.slice(this.#text.length, Math.max(...cuts, this.#text.length)));
      return;
    }
    this.#text = whole;
    this.#options.emit({
      id,
      text: piece,
      tokens: [this.#at],
      ...(call ? { tool_calls: [call] } : {}),
      ...(count === null
        ? {}
        : { logprobs: [logprobOf(this.#at, call?.arguments ?? piece, count)] }),
    });
    this.#timer = setTimeout(() => this.#step(), this.#pauseMs);
  }
}

/** The fake agrees with whatever is forced; a forced 999 makes it think of 1. */
const score = (request: Of<'score'>): ScoreResult => ({
  prompt_tokens: encode(renderText(request.prompt)),
  positions: request.forced_tokens.map((token, i) => {
    const argmax = token === 999 ? 1 : token;
    const wanted = request.wanted[i] ?? [];
    return {
      argmax,
      top_logprobs: [[argmax, Math.log(0.9)]],
      wanted_logprobs: wanted.map((one) => Math.log(one === argmax ? 0.9 : 0.01)),
    };
  }),
});

/** Four numbers a text: its length, its first and last letter, and 1; of length 1 when normalised. */
const embed = ({ prompts, normalize }: Of<'embed'>): EmbedResult => {
  const codes = prompts.map((prompt) => encode(renderText(prompt)));
  const vectors = codes.map((all) => {
    const vector = [all.length, all[0] ?? 0, all.at(-1) ?? 0, 1];
    const length = normalize ? Math.hypot(...vector) : 1;
    return Float32Array.from(vector, (value) => value / length);
  });
  return {
    embeddings: vectors.map((vector) => Buffer.from(vector.buffer).toString('base64')),
    prompt_tokens: codes.map((all) => all.length),
  };
};

/** Prompts that are orders to the process itself. True: nothing is left to generate. */
function obey({ prompt, id }: Of<'generate'>, send: Send): boolean {
  const asked = prompt.kind === 'messages' ? prompt.messages.at(-1)?.content : '';
  if (asked === 'crash') process.kill(process.pid, 'SIGKILL');
  if (asked === 'freeze') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (asked === 'fail') fail(send, id, 'as asked');
  const seconds = /^full (\d+)$/.exec(asked ?? '')?.[1];
  if (seconds !== undefined) {
    const details = { retry_after_seconds: Number(seconds) };
    const params = { reason: 'as asked' };
    send({ type: 'error', id, error: { code: 'overloaded', params, details } });
  }
  return asked === 'crash' || asked === 'fail' || seconds !== undefined;
}

function refuseTooLong(
  { id, prompt, max_tokens = 0 }: Pick<Of<'generate'>, 'id' | 'prompt'> & { max_tokens?: number },
  send: Send,
): boolean {
  const prompt_tokens = encode(renderText(prompt)).length;
  if (prompt_tokens + max_tokens <= contextTokens) return false;
  const params = { prompt_tokens, max_tokens, n_ctx: contextTokens };
  send({ type: 'error', id, error: { code: 'context_length_exceeded', params } });
  return true;
}

function load({ id, model_path: path }: Of<'load'>, send: Send): void {
  if (path.includes('dies')) process.exit(3);
  if (path.includes('refused')) {
    fail(send, id, 'refused');
    return;
  }
  const shape = { architecture: 'llama', n_vocab: 1_114_112, n_ctx: contextTokens };
  const facts = { n_ctx_train: 8192, n_params: 1000, size_bytes: 1000, build: 'fake-1' };
  send({ type: 'ready', id, model: { ...shape, ...facts } });
}

/** Copies a file; of a folder it makes the smallest GGUF there is. */
async function quantise({ id, source, target }: Of<'quantize'>, send: Send): Promise<void> {
  if (statSync(source).isDirectory()) {
    send({ type: 'progress', id, done: 1, total: 2 });
    writeFileSync(target, await tinyGguf());
  } else copyFileSync(source, target);
  send({ type: 'result', id, value: {} });
}

function refuseSchema({ id, response_format: format }: Of<'generate'>, send: Send): boolean {
  if (format?.type !== 'json_schema' || !('not' in format.schema)) return false;
  const param = 'response_format.json_schema.schema.not';
  const params = { param, reason: 'this keyword cannot be held to while generating' };
  send({ type: 'error', id, error: { code: 'unsupported_parameter', params, param } });
  return true;
}

function serve(send: Send): (request: EngineRequest) => void {
  const running = new Map<string, Generation>();
  const adapters = new Set<string>();
  const cached = new Set<string>();
  const emit = (event: GenerationEvent): void => {
    if (event.finish) running.delete(event.id);
    send({ type: 'tokens', events: [event] });
  };
  /** Tokens of the prompt that a prompt of this tenant has left. */
  const reuse = ({ tenant, prompt, cache_prompt: mayReuse }: Of<'generate'>): number => {
    const text = renderText(prompt);
    const key = `${tenant} ${text}`;
    const known = cached.has(key);
    if (mayReuse) cached.add(key);
    return mayReuse && known ? encode(text).length - 1 : 0;
  };
  const status = () => ({
    active: running.size,
    queued: 0,
    adapters: [...adapters].map((id) => ({ id, bytes: 1 })),
    memory_bytes: process.memoryUsage.rss(),
    tokens_generated: 0,
    steps: 0,
  });
  /** What is answered by `result`; undefined: the answer was or will be sent otherwise. */
  const handle = (request: EngineRequest): unknown => {
    switch (request.type) {
      case 'load':
        return load(request, send);
      case 'load_adapter':
        if (request.path.includes('missing')) return fail(send, request.id, 'no such file');
        adapters.add(request.adapter_id);
        return {};
      case 'unload_adapter':
        adapters.delete(request.adapter_id);
        return {};
      case 'generate':
        if (obey(request, send) || refuseTooLong(request, send) || refuseSchema(request, send)) {
          return undefined;
        }
        running.set(request.id, new Generation(request, { emit, cachedTokens: reuse(request) }));
        return undefined;
      case 'cancel':
        running.get(request.target)?.end('cancelled');
        return {};
      case 'render': {
        if (refuseTooLong(request, send)) return undefined;
        const text = renderText(request.prompt);
        return { text, tokens: encode(text), pieces: Array.from(text) };
      }
      case 'score':
        return score(request);
      case 'embed':
        return embed(request);
      case 'quantize':
        void quantise(request, send);
        return undefined;
      case 'status':
        return status();
      case 'shutdown':
        return process.exit(0);
      default:
        return request satisfies never;
    }
  };
  return (request) => {
    const value = handle(request);
    if (value !== undefined) send({ type: 'result', id: request.id, value });
  };
}

if (process.argv[1] === import.meta.filename) {
  const handle = serve((message) => process.send?.(message));
  process.on('message', (message) => handle(engineRequestSchema.parse(message)));
  process.on('disconnect', () => process.exit(0));
}
