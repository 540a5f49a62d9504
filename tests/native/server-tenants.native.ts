// Several projects on one server and one model, over HTTP: nobody gets, or can find out by how it is answered,
// what another project asked; nobody waits for another's queue; who leaves or runs out of time gives way.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RenderedPrompt, ServerStatus } from '@corral/contracts';
import { templates } from '../../packages/engine/src/prompt/templates.fake.ts';
import { startModelServer, type ModelServer } from './model-server.ts';

const chat = '/v1/chat/completions';
const tenants = ['alpha', 'beta', 'gamma'];
const keys = new Map<string, string>();
let server: ModelServer;

beforeAll(async () => {
  server = await startModelServer({
    // Guesses make the number of steps depend on what was said before.
    config: {
      engine: { n_ctx: 512, n_seq_max: 4, n_threads: 1, speculation: 'off' },
      serving: { max_waiting: 128 },
    },
    model: { template: templates.qwen },
  });
  for (const name of [...tenants, 'many', 'one', 'judge'])
    keys.set(name, await server.app.otherProject(name));
});
afterAll(() => server[Symbol.asyncDispose]());

const rules = 'You are the clerk of the harbour. Say when the boats leave, and to where. '.repeat(
  2,
);
const prompt = (text: string): { readonly messages: object[] } => ({
  messages: [
    { role: 'system', content: rules },
    { role: 'user', content: text },
  ],
});
const greedy = { temperature: 0, corral: { ignore_eos: true } };
const ask = (tenant: string, body: object) => server.post(chat, body, keys.get(tenant));

/** What the engine says of itself; it says nothing while it is too busy. */
async function engine(): Promise<ServerStatus['engines'][number]> {
  for (;;) {
    const { json } = await server.app.call('GET', '/api/v1/status');
    const [report] = (json as ServerStatus).engines;
    if (report?.steps !== undefined) return report;
  }
}

/** Nothing runs and nothing waits: those who left are gone. */
const idle = async (): Promise<void> => {
  const busy = async () => {
    const { active, queued } = await engine();
    return active + queued;
  };
  await expect.poll(busy, { timeout: 20_000 }).toBe(0);
};

/** The same numbers every time. */
function createDraw(): (below: number) => number {
  let state = 7;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Asked {
  readonly tenant: string;
  readonly text: string;
  /** Hangs up after the first piece of text. */
  readonly leaves: boolean;
}
/** The text, and how likely each of its tokens was. */
interface Said {
  readonly said: string;
  readonly logprobs: readonly number[];
}
interface Answered extends Asked, Said {
  readonly cached: number;
  /** What the tenant had asked before this was answered. */
  readonly before: readonly string[];
}
const short = { max_tokens: 8, logprobs: true };
/** In nats. */
const sameWithin = 0.01;
const tooLong = 'far too long '.repeat(60);

/** Questions that all ask, and questions with a secret of one; all begin alike. */
function drawQuestions(count: number): Asked[] {
  const draw = createDraw();
  return Array.from({ length: count }, () => {
    const tenant = tenants[draw(tenants.length)] ?? '';
    const secret = draw(2) === 0 ? '' : `The password of ${tenant} is ${tenant.repeat(2)}. `;
    const text = draw(12) === 0 ? tooLong : `${secret}Question ${draw(6)}?`;
    return { tenant, text, leaves: draw(8) === 0 };
  });
}

interface Completion {
  readonly choices: readonly {
    readonly message: { readonly content: string };
    readonly logprobs: { readonly content: readonly { readonly logprob: number }[] };
  }[];
}
function saidIn({ choices }: Completion): Said {
  const [choice] = choices;
  const logprobs = choice?.logprobs.content.map(({ logprob }) => logprob) ?? [];
  return { said: choice?.message.content ?? '', logprobs };
}
/** Largest distance between the log-probabilities of two answers; of other words, infinitely far. */
const distance = (a: Said, b: Said): number =>
  a.said === b.said
    ? Math.max(...a.logprobs.map((value, i) => Math.abs(value - (b.logprobs[i] ?? Infinity))))
    : Infinity;

async function answer(asked: Asked, before: readonly string[]): Promise<Answered> {
  const { tenant, text, leaves } = asked;
  const body = { ...prompt(text), ...greedy, ...short };
  if (leaves && text !== tooLong) {
    for await (const said of server.stream(body, keys.get(tenant)))
      return { ...asked, said, logprobs: [], cached: 0, before };
  }
  const { status, json } = await ask(tenant, body);
  if (text === tooLong) {
    expect([status, json.error.code]).toEqual([400, 'context_length_exceeded']);
    return { ...asked, said: '', logprobs: [], cached: 0, before };
  }
  expect(status, JSON.stringify(json)).toBe(200);
  const { cached_tokens: cached } = json.usage.prompt_tokens_details;
  return { ...asked, ...saidIn(json), cached, before };
}

/** Twelve at a time, in turn. */
async function answerAll(questions: readonly Asked[]): Promise<Answered[]> {
  const waiting = [...questions];
  const sent = new Map<string, string[]>(tenants.map((tenant) => [tenant, []]));
  const answers: Answered[] = [];
  const client = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const own = sent.get(next.tenant) ?? [];
      const earlier = [...own];
      own.push(next.text);
      answers.push(await answer(next, earlier));
    }
  };
  await Promise.all(Array.from({ length: 12 }, client));
  return answers;
}

test('of a crowd everybody gets the answer that is theirs, computed from nothing of others', async () => {
  const answers = await answerAll(drawQuestions(600));
  const known = new Map<string, Said & { tokens: number[] }>();
  for (const text of new Set(answers.map((one) => one.text))) {
    if (text === tooLong) continue;
    const corral = { ...greedy.corral, cache_prompt: false };
    const alone = await ask('judge', { ...prompt(text), ...greedy, ...short, corral });
    const rendered = await server.post('/api/v1/render', prompt(text));
    const { tokens } = rendered.json as RenderedPrompt;
    known.set(text, { tokens, ...saidIn(alone.json) });
  }
  // An answer tells whose it is: those to other questions are further away than the same one, computed in other
  // company (the sums of a larger step are added up in another order).
  const all = [...known.values()];
  const apart = all.map((one) =>
    Math.min(...all.filter((other) => other !== one).map((other) => distance(one, other))),
  );
  expect(Math.min(...apart)).toBeGreaterThan(2 * sameWithin);
  let hits = 0;
  for (const given of answers) {
    const { text, said, leaves, cached, before } = given;
    const alone = known.get(text);
    if (alone === undefined) continue;
    if (leaves) expect(alone.said.slice(0, said.length)).toBe(said);
    else expect(distance(given, alone)).toBeLessThan(sameWithin);
    const shared = before.map((other) => common(alone.tokens, known.get(other)?.tokens ?? []));
    expect(cached).toBeLessThanOrEqual(Math.max(0, ...shared));
    hits += Number(cached > 0);
  }
  expect(hits).toBeGreaterThan(300);
});

/** How many tokens both begin with. */
function common(a: readonly number[], b: readonly number[]): number {
  const until = a.findIndex((token, i) => token !== b[i]);
  return until === -1 ? a.length : until;
}

test('what another project has asked takes as many steps as what nobody has', async () => {
  const secret = { ...prompt('The key lies under the third stone.'), ...greedy, max_tokens: 4 };
  const guess = { ...prompt('The key lies under the fifth stone.'), ...greedy, max_tokens: 4 };
  const cost = async (tenant: string, body: object) => {
    const before = await engine();
    const { usage } = (await ask(tenant, body)).json;
    const { cached_tokens: cached } = usage.prompt_tokens_details;
    const { steps = 0, prefix_cache: cache } = await engine();
    const { steps: stepsBefore = 0, prefix_cache: cacheBefore } = before;
    return {
      cached,
      prompt: usage.prompt_tokens,
      steps: steps - stepsBefore,
      reused: (cache?.tokens_reused ?? 0) - (cacheBefore?.tokens_reused ?? 0),
    };
  };
  await cost('many', secret);
  const own = await cost('many', secret);
  expect(own.cached).toBeGreaterThan(100);
  const hit = await cost('one', secret);
  const miss = await cost('judge', guess);
  expect(hit).toEqual(miss);
  expect(hit).toMatchObject({ cached: 0, reused: 0 });
});

test('a hundred requests of one project do not keep the first of another waiting', async () => {
  const leave = new AbortController();
  let ended = 0;
  const crowd = Array.from({ length: 100 }, async (_, i) => {
    const body = { ...prompt(`Boat ${i}?`), ...greedy, max_tokens: 250 };
    await server.post(chat, body, keys.get('many'), leave.signal).catch(() => null);
    ended += 1;
  });
  // Some of the hundred have ended by the time the last is there.
  await expect.poll(async () => (await engine()).queued, { timeout: 20_000 }).toBeGreaterThan(50);
  const before = ended;
  const { status } = await ask('one', { ...prompt('And mine?'), ...greedy, max_tokens: 1 });
  const after = ended;
  leave.abort();
  await Promise.all(crowd);
  await idle();
  expect(status).toBe(200);
  // In its turn it would come after all that wait. On its way through HTTP those four may end that run.
  expect(after - before).toBeLessThanOrEqual(4);
});

test('who hangs up makes room, and nothing more is computed for them', async () => {
  const endless = { ...prompt('Tell me everything.'), ...greedy, max_tokens: 300 };
  const generated = async () => (await engine()).tokens_generated ?? 0;
  const before = await generated();
  const heard = Array.from({ length: 4 }, async () => {
    for await (const text of server.stream(endless, keys.get('many'))) return text;
    return '';
  });
  expect((await Promise.all(heard)).every((text) => text !== '')).toBe(true);
  await idle();
  const after = await generated();
  expect(after - before).toBeLessThan(4 * 300);
  expect((await ask('one', { ...prompt('Me?'), ...greedy, max_tokens: 1 })).status).toBe(200);
  expect(await generated()).toBe(after + 1);
});

test('a deadline cuts an answer, and ends a request that waits in a queue', async () => {
  const corral = { ignore_eos: true, deadline_ms: 60 };
  const { json } = await ask('one', { ...prompt('All of it.'), max_tokens: 300, corral });
  const stream = { ...prompt('And on.'), ...greedy, max_tokens: 300 };
  expect(json.corral.stopped_by).toBe('deadline');
  expect(json.choices[0].finish_reason).toBe('length');
  const busy = Array.from({ length: 8 }, () => ask('many', stream));
  await expect.poll(async () => (await engine()).queued).toBeGreaterThan(0);
  const late = await ask('many', {
    ...prompt('Quick!'),
    max_tokens: 1,
    corral: { deadline_ms: 1 },
  });
  expect([late.status, late.json.error.code]).toEqual([504, 'deadline_exceeded']);
  await Promise.all(busy);
});

test('what does not fit is told with its numbers', async () => {
  const messages = [{ role: 'user', content: 'word '.repeat(160) }];
  const rendered = await server.post('/api/v1/render', { messages });
  const count = (rendered.json as RenderedPrompt).tokens.length;
  const { status, json } = await ask('one', { messages, max_tokens: 200 });
  expect(count).toBeGreaterThan(312);
  expect([status, json.error.code]).toEqual([400, 'context_length_exceeded']);
  expect(json.error.message).toMatch(new RegExp(`${count} tokens .* 200; .* 512 tokens`));
});
