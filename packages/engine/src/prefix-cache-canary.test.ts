// Thousands of requests of tenants who say the same and different things, with adapters, cancels and prompts
// that are too long, in one engine: nobody gets what another tenant's request computed. An answer depends on
// every cached token, and `cached_tokens` is held against what the same tenant has asked before.
import { expect, it } from 'vitest';
import { startFakeEngine } from './engine-host.fake.ts';
import { createRandom } from './sampling/random.ts';

const requests = 1500;
const tenants = ['alpha', 'beta', 'gamma', 'delta'];
const adapters = [null, 'a', 'b'];
const shared = 'You are a helpful assistant of the harbour. Say when boats leave. '.repeat(2);

type Engine = Awaited<ReturnType<typeof startFakeEngine>>;
interface Asked {
  readonly id: string;
  readonly tenant: string;
  readonly adapter_id: string | null;
  readonly text: string;
  readonly cancelled: boolean;
}

/** Prompts that all tenants use, and prompts with a secret of one. */
function promptOf(tenant: string, draw: () => number): string {
  const kind = draw();
  const question = `Question ${Math.floor(draw() * 12)}?`;
  if (kind < 0.45) return shared + question;
  if (kind < 0.9) return `${shared}The password of ${tenant} is ${tenant.repeat(3)}. ${question}`;
  if (kind < 0.95) return question;
  return 'far too long '.repeat(60);
}

async function askAll(engine: Engine): Promise<Asked[]> {
  const draw = createRandom(7);
  const any = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)] as T;
  const asked: Asked[] = [];
  for (let i = 0; i < requests; i++) {
    const tenant = any(tenants);
    const request = {
      id: `r${i}`,
      tenant,
      adapter_id: any(adapters),
      text: promptOf(tenant, draw),
    };
    const { id, adapter_id, text } = request;
    await engine.generate(id, {
      tenant,
      adapter_id,
      prompt: { kind: 'text', text },
      max_tokens: 4,
      cache_prompt: draw() < 0.95,
    });
    asked.push({ ...request, cancelled: draw() < 0.1 });
    const steps = Math.floor(draw() * 6);
    for (let step = 0; step < steps && engine.host.busy; step++) engine.host.step();
    if (asked[i]?.cancelled) await engine.send({ type: 'cancel', id: `c${i}`, target: id });
  }
  for (let i = 0; engine.host.busy && i < 100_000; i++) engine.host.step();
  return asked;
}

const load = async (options: Record<string, number>): Promise<Engine> => {
  const engine = await startFakeEngine(options);
  for (const id of ['a', 'b'])
    await engine.send({
      type: 'load_adapter',
      id: `load ${id}`,
      adapter_id: id,
      path: import.meta.filename,
    });
  return engine;
};

/** Tokens that both texts begin with; the fake vocabulary's tokens are bytes behind a first one. */
function common(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length === 0 ? 0 : length + 1;
}

it.each([
  { name: 'a cache each', options: { n_ctx: 512, n_seq_max: 6 } },
  { name: 'one cache', options: { n_ctx: 512, n_seq_max: 6, n_kv: 1500 } },
])('nothing crosses tenants or adapters, with $name', { timeout: 60_000 }, async ({ options }) => {
  const engine = await load({ ...options, prefix_cache_bytes: 20_000 });
  const asked = await askAll(engine);
  const alone = await load({ n_ctx: 512, n_seq_max: 1, prefix_cache_bytes: 0 });
  const known = new Map<string, number[]>();
  const before = new Map<string, string[]>();
  let hits = 0;
  for (const { id, tenant, adapter_id, text, cancelled } of asked) {
    const owner = `${tenant} ${adapter_id}`;
    const earlier = before.get(owner) ?? [];
    const finish = engine.finish(id);
    if (!finish) {
      expect(engine.errorOf(id)?.code).toBe('context_length_exceeded');
      continue;
    }
    const most = Math.max(0, ...earlier.map((other) => common(text, other)));
    hits += Number(finish.cached_tokens > 0);
    expect(finish.cached_tokens).toBeLessThanOrEqual(most);
    before.set(owner, [...earlier, text]);
    const key = `${adapter_id} ${text}`;
    const answer = known.get(key) ?? (await answerAlone(alone, id, { adapter_id, text }));
    known.set(key, answer);
    const said = engine.tokens(id);
    expect(said).toEqual(answer.slice(0, cancelled ? said.length : answer.length));
  }
  expect(hits).toBeGreaterThan(requests / 2);
});

async function answerAlone(
  engine: Engine,
  id: string,
  { adapter_id, text }: Pick<Asked, 'adapter_id' | 'text'>,
): Promise<number[]> {
  const prompt = { kind: 'text', text } as const;
  await engine.generate(id, { adapter_id, prompt, max_tokens: 4 });
  engine.run();
  return engine.tokens(id);
}
