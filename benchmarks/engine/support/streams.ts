// What the engine's benchmarks measure, whoever serves: streams of tokens started together, and the rates and
// delays that come of them. A peer is anything that can run one stream.

export interface StreamRequest {
  readonly promptTokens: readonly number[];
  readonly tokens: number;
  /** Number of the adapter; null = the base. */
  readonly adapter: number | null;
}

export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** Runs one greedy stream to its end; times of its first and last token, from performance.now(). */
  stream(request: StreamRequest): Promise<{ first: number; last: number }>;
  /** Of the serving process: resident bytes, and processor time so far. */
  usage(): { memory: number; processorMs: number };
}

export interface Measurement {
  /** Tokens a second after the first token of any stream: a server may run streams one after the other. */
  readonly rate: number;
  /** Tokens a second from the first request to the last token. */
  readonly wholeRate: number;
  /** Milliseconds to the first token. */
  readonly firstMs: readonly number[];
  /** Milliseconds of processor time for each token, which neighbours on the machine disturb less. */
  readonly processorMs: number;
}

/** Prompts of token ids by number, so that no two are equal. */
export const promptOf = (seed: number, length: number): number[] =>
  Array.from({ length }, (_, i) => 1000 + ((seed * 7919 + i * 131) % 20_000));

export const quantile = (list: readonly number[], q: number): number =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(q * list.length))] ?? 0;

export const median = (list: readonly number[]): number => quantile(list, 0.5);

/** All requests at once. */
export async function measureStreams(
  peer: Peer,
  requests: readonly StreamRequest[],
): Promise<Measurement> {
  const start = performance.now();
  const before = peer.usage().processorMs;
  const all = await Promise.all(requests.map((request) => peer.stream(request)));
  const earliest = Math.min(...all.map(({ first }) => first));
  const end = Math.max(...all.map(({ last }) => last));
  const tokens = requests.reduce((sum, request) => sum + request.tokens, 0);
  return {
    rate: ((tokens - requests.length) * 1000) / (end - earliest),
    wholeRate: (tokens * 1000) / (end - start),
    firstMs: all.map(({ first }) => first - start),
    processorMs: (peer.usage().processorMs - before) / tokens,
  };
}
