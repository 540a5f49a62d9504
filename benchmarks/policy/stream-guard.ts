// Time that the stream guard adds to each chunk of an answer, and the time to compile a pack:
//   node benchmarks/policy/stream-guard.ts [CHUNKS]
// A chunk is about a token (4 characters). Packs: the default one, and one with 10,000 keywords beside it.
import { createHash } from 'node:crypto';
import {
  type CompiledPolicy,
  compilePolicy,
  createStreamGuard,
  defaultPack,
  parsePack,
} from '../../packages/policy/src/index.ts';

const chunks = Number(process.argv[2] ?? 20_000);
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

// A linear congruential generator: the same words and text on every run.
let seed = 42;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};
const syllables = 'ka to mi re su no ha li ven dor shi lan per qui zo est ing ver mon tal'.split(
  ' ',
);
const word = (): string =>
  Array.from({ length: 2 + random(3) }, () => syllables[random(syllables.length)]).join('');

const keywords = [...new Set(Array.from({ length: 60_000 }, word))].slice(0, 10_000);
const keywordPack = parsePack({
  schema: 'policy-pack/1',
  id: 'bench.keywords',
  version: '1.0.0',
  title: { en: 'Benchmark' },
  publisher: { name: 'benchmark' },
  basis: [{ type: 'operator-choice' }],
  effective: { from: '2026-01-01' },
  extends: ['base.security@^1'],
  categories: [{ id: 'c' }],
  detectors: [{ id: 'd.words', type: 'lexicon', source: { terms: keywords } }],
  rules: [
    {
      id: 'r.words',
      category: 'c',
      direction: 'output',
      when: 'd.words.matched',
      action: 'redact',
      explain: { code: 'POL-BENCH' },
    },
  ],
});

const english = Array.from({ length: chunks }, () => `${word().slice(0, 3)} `).join('');
const chinese = Array.from({ length: chunks }, () =>
  String.fromCodePoint(0x4e00 + random(3_000), 0x4e00 + random(3_000)),
).join('');

function measure(name: string, policy: CompiledPolicy, text: string, size: number): void {
  const times: number[] = [];
  const guard = createStreamGuard(policy, { direction: 'output' });
  let held = 0;
  let released = 0;
  for (let at = 0; at < text.length; at += size) {
    const piece = text.slice(at, at + size);
    const start = performance.now();
    const result = guard.push(piece);
    times.push(performance.now() - start);
    released += result.release.length;
    held += at + piece.length - released;
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(4);
  const mean = (held / times.length).toFixed(1);
  console.log(
    `${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(0.99999)} ms a chunk; mean hold-back ${mean}`,
  );
}

function compileTimed(name: string, compile: () => CompiledPolicy): CompiledPolicy {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  const policy = compile();
  const cpu = process.cpuUsage(cpuStart);
  const cpuMilliseconds = ((cpu.user + cpu.system) / 1_000).toFixed(0);
  const elapsed = (performance.now() - start).toFixed(0);
  console.log(`${name}: compiled in ${elapsed} ms (${cpuMilliseconds} ms of processor time)`);
  return policy;
}

const base = compileTimed('default pack, first', () => compilePolicy(defaultPack, { sha256 }));
compileTimed('default pack, again', () => compilePolicy(defaultPack, { sha256 }));
const memoryBefore = process.memoryUsage().rss;
const withKeywords = compileTimed(`default pack and ${keywords.length} keywords`, () =>
  compilePolicy(keywordPack, { sha256, available: [defaultPack] }),
);
const mebibytes = ((process.memoryUsage().rss - memoryBefore) / 2 ** 20).toFixed(0);
console.log(`memory of that policy and its making: ${mebibytes} MiB`);
for (const [policyName, policy] of [
  ['default', base],
  ['keywords', withKeywords],
] as const) {
  measure(`${policyName}, English`, policy, english, 4);
  measure(`${policyName}, Chinese`, policy, chinese, 2);
}
const prompt = english.slice(0, 32_000);
const promptTimes = Array.from({ length: 15 }, () => {
  const start = performance.now();
  const guard = createStreamGuard(withKeywords, { direction: 'input' });
  guard.push(prompt);
  guard.end();
  return performance.now() - start;
}).toSorted((a, b) => a - b);
const median = promptTimes[7]?.toFixed(1);
console.log(`a prompt of ${prompt.length} characters: p50 ${median} ms`);
