// A server of OpenAI's contract on the loopback that does as the last message says, well or badly:
//   "count N [MS]"        "1 2 … N", one number every MS milliseconds
//   "say TEXT"            TEXT, byte by byte on the wire
//   "tool NAME ARGS"      a call, its arguments in pieces
//   "status CODE [TIMES] [RETRY_AFTER]"   that status, the first TIMES times; then "ok"
//   "cut [AFTER]"         ends the connection after that many tokens
//   "garbage" | "error" | "flood" | "filtered"   no JSON, an error event, an event without end, withheld
//   "silent" | "stall"    not a byte, one token and then nothing
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Body {
  readonly model?: string;
  readonly messages?: readonly { role: string; content: string }[];
  readonly prompt?: string | readonly number[];
  readonly input?: readonly string[];
  readonly max_tokens?: number;
  readonly logprobs?: boolean | number;
  readonly top_logprobs?: number;
}

export interface ScriptedUpstream extends AsyncDisposable {
  /** With `/v1`. */
  readonly url: string;
  /** Bodies of generations, oldest first. */
  readonly asked: readonly (Body & Record<string, unknown>)[];
  readonly keys: readonly (string | undefined)[];
  /** Names of what it has. */
  readonly models: string[];
  /** Streams whose reader has gone before their end. */
  readonly left: number;
  /** From now on every request gets this status; null: as usual. */
  status: number | null;
}

interface Stream {
  readonly body: Body;
  readonly response: ServerResponse;
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const chunk = (delta: object, more: object = {}) => ({
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason: null, ...more }],
});
const usage = (completion: number) => ({
  object: 'chat.completion.chunk',
  choices: [],
  usage: {
    prompt_tokens: 7,
    completion_tokens: completion,
    prompt_tokens_details: { cached_tokens: 3 },
  },
});
const one = (token: string) => ({ token, logprob: -0.1, bytes: [...Buffer.from(token)] });

function end(response: ServerResponse, reason: string, count: number): void {
  response.write(event(chunk({}, { finish_reason: reason })));
  response.end(`${event(usage(count))}data: [DONE]\n\n`);
}

async function count({ body, response }: Stream, words: readonly string[]): Promise<void> {
  const [to = 0, pauseMs = 0] = words.map(Number);
  const limit = Math.min(to, body.max_tokens ?? Infinity);
  for (let i = 1; i <= limit && !response.destroyed; i++) {
    const token = `${i} `;
    const top = Array.from({ length: body.top_logprobs ?? 0 }, () => one(token));
    const logprobs = body.logprobs ? { content: [{ ...one(token), top_logprobs: top }] } : null;
    response.write(event(chunk({ content: token }, { logprobs })));
    await sleep(pauseMs);
  }
  if (!response.destroyed) end(response, limit < to ? 'length' : 'stop', limit);
}

async function say({ response }: Stream, words: readonly string[]): Promise<void> {
  const all = words.map((word) => event(chunk({ content: word }))).join(': keep-alive\r\n');
  for (const byte of Buffer.from(all)) {
    response.write(Uint8Array.of(byte));
    await sleep(0);
  }
  end(response, 'stop', words.length);
}

function callTool({ response }: Stream, [name = '', text = '']: readonly string[]): void {
  const first = { index: 0, type: 'function', function: { name, arguments: '' } };
  response.write(event(chunk({ tool_calls: [first] })));
  for (const piece of text.match(/.{1,3}/g) ?? [])
    response.write(event(chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] })));
  end(response, 'tool_calls', 5);
}

async function misbehave({ response }: Stream, verb: string, after: number): Promise<void> {
  for (let i = 0; i < after; i++) response.write(event(chunk({ content: `${i}` })));
  switch (verb) {
    case 'cut':
      await sleep(10);
      response.destroy();
      return;
    case 'garbage':
      response.end('data: {"choices": [\n\n');
      return;
    case 'error':
      response.end(event({ error: { message: 'out of luck', code: 500 } }));
      return;
    case 'filtered':
      response.end(event(chunk({}, { finish_reason: 'content_filter' })));
      return;
    case 'flood':
      while (!response.destroyed) {
        if (!response.write(`data: ${'x'.repeat(65_536)}`)) await sleep(1);
      }
      return;
    case 'stall':
      response.write(event(chunk({ content: 'one' })));
      return;
    default:
  }
}

const readBody = async (request: IncomingMessage): Promise<Body & Record<string, unknown>> => {
  const chunks: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) chunks.push(part);
  return JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}') as Body &
    Record<string, unknown>;
};

const answerJson = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

const modelList = (ids: readonly string[]) => ({
  object: 'list',
  data: ids.map((id) => ({ id, object: 'model', max_model_len: 1000 })),
});

const embeddings = ({ input = [] }: Body) => ({
  data: input.map((text, index) => ({ index, embedding: [text.length, 0] })).toReversed(),
  usage: { prompt_tokens: 5 },
});

/** What was asked, by whom, and how often something was to fail. */
class Script {
  readonly asked: (Body & Record<string, unknown>)[] = [];
  readonly keys: (string | undefined)[] = [];
  readonly models = ['scripted'];
  left = 0;
  status: number | null = null;
  readonly #refusals = new Map<string, number>();

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.keys.push(request.headers.authorization);
    if (this.status !== null) {
      const message = `no: ${request.headers.authorization ?? ''}`;
      answerJson(response, this.status, { error: { message } });
      return;
    }
    if (request.url === '/v1/models') {
      answerJson(response, 200, modelList(this.models));
      return;
    }
    const body = await readBody(request);
    if (request.url === '/v1/embeddings') {
      answerJson(response, 200, embeddings(body));
      return;
    }
    this.asked.push(body);
    response.once('close', () => {
      if (!response.writableFinished) this.left++;
    });
    await this.#obey({ body, response });
  }

  async #obey(stream: Stream): Promise<void> {
    const { body, response } = stream;
    const asked = body.messages?.at(-1)?.content ?? String(body.prompt);
    const [verb = '', ...words] = asked.split(' ');
    if (verb === 'silent') return;
    if (verb === 'status' && this.#refuse(asked, words, response)) return;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event(chunk({ role: 'assistant', content: null })));
    if (verb === 'count') await count(stream, words);
    else if (verb === 'say') await say(stream, words);
    else if (verb === 'tool') callTool(stream, words);
    else if (verb === 'status') await say(stream, ['ok']);
    else await misbehave(stream, verb, Number(words[0] ?? 0));
  }

  #refuse(asked: string, words: readonly string[], response: ServerResponse): boolean {
    const [status = 500, times = Infinity, retryAfter] = words.map(Number);
    const before = this.#refusals.get(asked) ?? 0;
    this.#refusals.set(asked, before + 1);
    if (before >= times) return false;
    if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
    answerJson(response, status, { error: { message: `refused ${status}`, type: 'x' } });
    return true;
  }
}

export async function startScriptedUpstream(): Promise<ScriptedUpstream> {
  const script = new Script();
  const server = createServer((request, response) => {
    script.handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(script, {
    url: `http://127.0.0.1:${port}/v1`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
