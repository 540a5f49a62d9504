// One streamed completion over OpenAI's HTTP contract, as the time of each of its chunks. The same client for
// every server, and a cheap one: it shares the machine with what it measures.
import { Agent, request } from 'node:http';

export interface HttpTarget {
  readonly name: string;
  readonly url: string;
  readonly model: string;
  readonly apiKey: string;
  /** Added to every request body. */
  readonly extra: Record<string, unknown>;
}

export interface HttpStream {
  /** performance.now() of the request, and of each chunk with a token. */
  readonly start: number;
  readonly times: readonly number[];
  readonly text: string;
  /** As the server counts them. */
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

interface Usage {
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
}
interface Chunk {
  readonly choices: readonly { readonly text?: string; readonly delta?: { content?: string } }[];
  readonly usage?: Usage | null;
}

// A connection each: servers close idle ones when they like.
const agent = new Agent({ keepAlive: false, maxSockets: 512 });

/** Text of the events that a piece of the answer completes. */
function createEvents() {
  let rest = '';
  return (data: string): string[] => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    return lines
      .filter((line) => line.startsWith('data: ') && !line.includes('[DONE]'))
      .map((line) => line.slice(6));
  };
}

/** `body.messages` goes to chat completions, `body.prompt` to completions. */
export function httpStream(
  target: HttpTarget,
  body: Record<string, unknown>,
  onToken?: () => void,
): Promise<HttpStream> {
  const path = 'messages' in body ? '/v1/chat/completions' : '/v1/completions';
  const text = JSON.stringify({
    model: target.model,
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0,
    ...target.extra,
    ...body,
  });
  const headers = {
    authorization: `Bearer ${target.apiKey}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  };
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const outgoing = request(target.url + path, { method: 'POST', headers, agent }, (answer) => {
      const times: number[] = [];
      const events = createEvents();
      let whole = '';
      let usage: Usage | null = null;
      let failure = '';
      answer.setEncoding('utf8');
      answer.on('data', (data: string) => {
        const now = performance.now();
        if (answer.statusCode !== 200) failure += data;
        for (const event of events(data)) {
          const chunk = JSON.parse(event) as Chunk;
          const [choice] = chunk.choices;
          const piece = choice?.text ?? choice?.delta?.content;
          if (chunk.usage) usage = chunk.usage;
          if (piece === undefined || piece === '') continue;
          whole += piece;
          times.push(now);
          onToken?.();
        }
      });
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode !== 200 || times.length === 0) {
          reject(new Error(`${target.name}: ${answer.statusCode} ${failure}`));
          return;
        }
        const completionTokens = usage?.completion_tokens ?? times.length;
        const cachedTokens = usage?.prompt_tokens_details?.cached_tokens ?? 0;
        resolve({ start, times, text: whole, completionTokens, cachedTokens });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}
