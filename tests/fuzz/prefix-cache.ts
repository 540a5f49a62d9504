// A canary for the prefix cache of the real engine: thousands of requests of several tenants and adapters, who
// say the same and different things, side by side in one child on a tiny model, with cancels and prompts that
// are too long. Nobody may be told of more cached tokens than its own tenant and adapter have asked before, and
// nobody may say anything but what it says alone (ties in the last digits are counted apart):
//   node tests/fuzz/prefix-cache.ts [--requests 3000] [--seed 1] [--n-kv 0]
// Prints counts; exit code 1 when anything crossed.
import { parseArgs } from 'node:util';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
  type TestEngine,
} from '../native/engine-fixtures.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '3000' },
    seed: { type: 'string', default: '1' },
    'n-kv': { type: 'string', default: '0' },
  },
});

let state = Number(values.seed);
/** Whole numbers from 0 to `below` - 1 (mulberry32). */
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % below;
}
const any = <T>(list: readonly T[]): T => list[random(list.length)] as T;

const tenants = ['alpha', 'beta', 'gamma', 'delta'];
const adapters = [null, 'a', 'b', 'c'];
const shared = 'You are a helpful assistant of the harbour. Say when boats leave. '.repeat(2);

interface Asked {
  readonly id: string;
  readonly tenant: string;
  readonly adapter_id: string | null;
  readonly text: string;
  readonly cancelled: boolean;
}

/** Prompts that all tenants use, and prompts with a secret of one. */
function promptOf(tenant: string): string {
  const kind = random(100);
  const question = `Question ${random(12)}?`;
  if (kind < 45) return shared + question;
  if (kind < 90) return `${shared}The password of ${tenant} is ${tenant.repeat(3)}. ${question}`;
  if (kind < 95) return question;
  return 'far too long '.repeat(60);
}

async function start(model: string, options: Record<string, number | string>) {
  const engine = await startEngine(model, { n_ctx: 512, n_batch: 256, n_threads: 1, ...options });
  for (const adapter_id of adapters)
    if (adapter_id !== null)
      await engine.call({
        type: 'load_adapter',
        adapter_id,
        path: folder.path(`${adapter_id}.gguf`),
      });
  return engine;
}

type Answer = Awaited<ReturnType<TestEngine['generate']>>;
type Outcome = Answer | { readonly code: string };

const generate = (engine: TestEngine, { id, tenant, adapter_id, text }: Asked): Promise<Outcome> =>
  engine
    .generate(text, { id, tenant, adapter_id, max_tokens: 4, top_logprobs: 2 })
    .catch((error: unknown) => ({ code: String((error as { code?: unknown }).code) }));

/** Asks all, up to 24 at a time, and cancels some on the way. */
async function askAll(engine: TestEngine, asked: readonly Asked[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < asked.length; i = next++) {
      const one = asked[i] as Asked;
      const answer = generate(engine, one);
      if (one.cancelled) await engine.call({ type: 'cancel', target: one.id });
      outcomes[i] = await answer;
    }
  };
  await Promise.all(Array.from({ length: 24 }, work));
  return outcomes;
}

/** Letters that both texts begin with; a tiny vocabulary's token is a letter or more. */
function common(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

await using folder = await temporaryFolder();
// In floats: what adapters add side by side is rounded otherwise than alone, and blocks make more of it.
const model = folder.path('model.gguf');
await writeTinyModel(model);
for (const [i, adapter] of ['a', 'b', 'c'].entries())
  await writeTinyAdapter(folder.path(`${adapter}.gguf`), { seed: 20 + i });

const asked = Array.from({ length: Number(values.requests) }, (_, i): Asked => {
  const tenant = any(tenants);
  const adapter_id = any(adapters);
  return { id: `q${i}`, tenant, adapter_id, text: promptOf(tenant), cancelled: random(10) === 0 };
});
await using engine = await start(model, {
  n_seq_max: 6,
  n_kv: Number(values['n-kv']),
  prefix_cache_bytes: 400_000,
});
const outcomes = await askAll(engine, asked);
await using alone = await start(model, { n_seq_max: 1, prefix_cache_bytes: 0, speculation: 'off' });

const counts = { requests: asked.length, found: 0, cancelled: 0, tooLong: 0, failed: 0, ties: 0 };
const wrong = { moreThanOwn: 0, otherText: 0 };
const owners = new Map<string, string[]>();
for (const { tenant, adapter_id, text } of asked) {
  const owner = `${tenant} ${adapter_id}`;
  owners.set(owner, [...(owners.get(owner) ?? []), text]);
}
const known = new Map<string, Answer>();

/** What is said is what is said alone, up to a token that was as likely as another but for rounding. */
function compare(tokens: readonly number[], answer: Answer | undefined): 'same' | 'tie' | 'other' {
  const at = tokens.findIndex((token, i) => token !== answer?.tokens[i]);
  if (at < 0) return 'same';
  const [first, second] = answer?.logprobs[at]?.top ?? [];
  const isNear = first && second && first.logprob - second.logprob < 0.02;
  return isNear && second.token === tokens[at] ? 'tie' : 'other';
}

for (const [i, one] of asked.entries()) {
  const outcome = outcomes[i];
  if (!outcome || 'code' in outcome) {
    counts[outcome?.code === 'context_length_exceeded' ? 'tooLong' : 'failed']++;
    continue;
  }
  const { tokens, finish } = outcome;
  const cached = finish?.cached_tokens ?? 0;
  counts.found += Number(cached > 0);
  counts.cancelled += Number(finish?.reason === 'cancelled');
  // All that its owner asks in the whole run, but for one time of this very text, which is its own.
  const others = [...(owners.get(`${one.tenant} ${one.adapter_id}`) ?? [])];
  others.splice(others.indexOf(one.text), 1);
  wrong.moreThanOwn += Number(
    cached > Math.max(0, ...others.map((text) => common(one.text, text))),
  );
  const key = `${one.adapter_id} ${one.text}`;
  const outcomeAlone = known.has(key) ? null : await generate(alone, one);
  if (outcomeAlone && 'tokens' in outcomeAlone) known.set(key, outcomeAlone);
  const found = compare(tokens, known.get(key));
  counts.ties += Number(found === 'tie');
  wrong.otherText += Number(found === 'other');
}
console.log(counts, wrong);
process.exitCode = wrong.moreThanOwn + wrong.otherText > 0 ? 1 : 0;
