// Packs that cannot work are refused with every fault and its place; packs that can are listed as the
// public sees them. Signatures and digests cover every field.
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compilePolicy, lexiconDigest } from './compile-policy.ts';
import { evaluateText } from './evaluate.ts';
import { type PolicyPackInput, parsePack } from './pack-schema.ts';
import { packDigest, packSigningBytes, verifyPackSignature } from './pack-signature.ts';
import { defaultPack } from './packs/base-security.ts';

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

const minimal: PolicyPackInput = {
  schema: 'policy-pack/1',
  id: 'org.example.pack',
  version: '1.2.3',
  title: { en: 'Example' },
  publisher: { name: 'Example', keyId: 'key-1' },
  basis: [{ type: 'operator-choice' }],
  effective: { from: '2026-01-01' },
  categories: [{ id: 'c' }],
  detectors: [{ id: 'd.words', type: 'lexicon', source: { terms: ['alpha', 'beta'] } }],
  rules: [
    {
      id: 'r.1',
      category: 'c',
      direction: 'output',
      when: 'd.words.matched',
      action: 'redact',
      explain: { code: 'EX-01', text: { en: 'Hidden.' } },
    },
  ],
};
const [detector, rule] = [minimal.detectors[0], minimal.rules[0]];
if (detector === undefined || rule === undefined) throw new Error('the example pack is empty');
const compile = (changes: Partial<PolicyPackInput>) =>
  compilePolicy(parsePack({ ...minimal, ...changes }), { sha256, available: [defaultPack] });
const faults = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('parsePack', () => {
  it('names every fault by its path', () => {
    const error = faults(() =>
      parsePack({
        ...minimal,
        version: '1',
        basis: [],
        surprise: true,
        rules: [rule, { ...rule, action: 'explode', explain: { code: 'lower' } }],
      }),
    );
    expect(error).toMatchObject({ code: 'pack_invalid' });
    const { issues } = error as { issues: { path: string }[] };
    expect(issues.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'version',
        'basis',
        'rules[1].action',
        'rules[1].explain.code',
        '(pack)',
      ]),
    );
  });

  it('refuses ids that stand twice', () => {
    expect(() => parsePack({ ...minimal, rules: [rule, rule] })).toThrow('rules[1].id');
    expect(() => parsePack({ ...minimal, detectors: [detector, detector] })).toThrow(
      'detectors[1].id',
    );
  });

  it('knows every field of the schema', () => {
    const full = {
      ...minimal,
      jurisdiction: ['CN'],
      basis: [{ type: 'standard', ref: 'GB/T 45654-2025 A.1', url: 'https://standard.example/' }],
      effective: { from: '2026-01-01', until: null, reviewBy: '2026-04-01' },
      extends: ['base.security@^1'],
      scope: {
        tenants: ['t'],
        deployments: ['d'],
        directions: ['input', 'output'],
        languages: ['zh'],
        audience: 'minors',
      },
      taxonomies: [{ id: 'mlc-ailuminate-1.0' }],
      categories: [{ id: 'c', maps: ['mlc:iwp'], title: { en: 'C' } }],
      detectors: [
        {
          id: 'd.words',
          type: 'lexicon',
          source: { sha256: 'a'.repeat(64), entries: 10_412, visibility: 'committed' },
          match: { normalise: 'nfkc-casefold-strip', boundary: 'cjk', maxChars: 64 },
          updated: '2026-01-02',
          maxAgeDays: 7,
        },
        {
          id: 'd.guard',
          type: 'classifier',
          model: { name: 'guard', sha256: `sha256:${'b'.repeat(64)}` },
          labels: ['S9'],
          threshold: 0.72,
          languages: ['en'],
          window: { first: 32, max: 128, context: 50 },
          timeoutMs: 400,
          calibration: { set: 'sha256:x', fpr: 0.02, recall: 0.81, n: 1_200 },
        },
        { id: 'd.hook', type: 'webhook', url: 'https://hook.example/', timeoutMs: 300 },
      ],
      rules: [
        {
          ...rule,
          priority: 5,
          onError: 'open',
          appeal: { url: 'https://a.example/', slaDays: 15 },
          tests: ['t.41'],
        },
      ],
      disclosure: {
        aiNotice: { en: 'AI' },
        placement: 'start',
        metadata: 'both',
        watermark: { scheme: 'x', minTokens: 200 },
      },
      records: { content: 'hash', retentionDays: { min: 180, max: 400 }, eraseByKey: true },
      users: {
        strikes: { limit: 3, windowHours: 24 },
        trainingOptOut: true,
        complaints: { url: 'https://c.example/', slaDays: 15 },
      },
      assurance: {
        banks: [{ id: 'refuse', sha256: 'c'.repeat(64), n: 500, gate: '>=0.95', sample: 300 }],
        lastRun: { logIndex: 3 },
      },
      signature: { dsse: 'AAAA' },
    };
    expect(parsePack(full)).toMatchObject({ users: { strikes: { limit: 3 } } });
  });
});

describe('compilePolicy', () => {
  it.each([
    [
      'a pattern that is no RE2',
      { detectors: [{ id: 'd.words', type: 'regex-re2', pattern: '(?=x)', maxChars: 9 }] },
      'detectors[0] (d.words)',
    ],
    [
      'a detector that does not exist',
      { rules: [{ ...rule, when: 'd.nothing.matched' }] },
      'there is no detector "d.nothing"',
    ],
    [
      'a condition that is no condition',
      { rules: [{ ...rule, when: 'd.words.count' }] },
      'not true or false',
    ],
    [
      'a condition that does not parse',
      { rules: [{ ...rule, when: 'd.words.matched &&' }] },
      'rules[0] (r.1)',
    ],
    [
      'a condition that nothing asks',
      { rules: [{ ...rule, when: "lang == 'en'" }] },
      'names no detector',
    ],
    ['a field that does not exist', { rules: [{ ...rule, when: 'd.words.score > 1' }] }, 'score'],
    [
      'backtracking by the back door',
      { rules: [{ ...rule, when: "d.words.matched && role.matches('(a+)+$')" }] },
      '"matches" is not available',
    ],
    [
      'loops',
      { rules: [{ ...rule, when: 'd.words.matched && [1].exists(x, x > 0)' }] },
      '"exists" is not available',
    ],
    ['an unknown category', { rules: [{ ...rule, category: 'x' }] }, 'category "x"'],
    [
      'an action nobody carries out',
      { rules: [{ ...rule, action: 'throttle' }] },
      'cannot be carried out here yet',
    ],
    [
      'a detector nobody runs',
      { detectors: [{ id: 'd.words', type: 'webhook', url: 'https://h.example/', timeoutMs: 1 }] },
      'cannot run here yet',
    ],
    [
      'a term without characters',
      { detectors: [{ id: 'd.words', type: 'lexicon', source: { terms: ['\u200b'] } }] },
      '1 terms are empty',
    ],
    ['a pack that is not there', { extends: ['no.such@^1'] }, 'no pack "no.such@^1"'],
    ['a newer version than there is', { extends: ['base.security@^1.5'] }, 'no pack'],
  ] as [string, Partial<PolicyPackInput>, string][])('refuses %s', (_, changes, message) => {
    expect(faults(() => compile(changes))).toMatchObject({
      code: 'pack_rejected',
      message: expect.stringContaining(message),
    });
  });

  it('names all faults at once', () => {
    const rules = [
      { ...rule, when: 'nonsense' },
      { ...rule, id: 'r.2', category: 'x' },
    ];
    expect(faults(() => compile({ rules }))).toMatchObject({ issues: [{}, {}] });
  });

  it('takes over the rules of packs it extends, and lists all packs', () => {
    const policy = compile({ extends: ['base.security@^1'] });
    expect(policy.packs.map(({ id }) => id)).toEqual(['base.security', 'org.example.pack']);
    expect(policy.packs[1]).toMatchObject({
      version: '1.2.3',
      title: { en: 'Example' },
      publisher: 'Example',
      digest: packDigest(parsePack({ ...minimal, extends: ['base.security@^1'] }), sha256),
      rules: [{ id: 'r.1', code: 'EX-01', action: 'redact', directions: ['output'] }],
    });
    const text = `Alpha ${'AKIA'}${'IOSFODNN7EXAMPLE'}`;
    expect(evaluateText(policy, text, { direction: 'output' }).text).toBe(
      '[redacted: EX-01] [redacted: POL-S02]',
    );
  });

  it('runs a rule only in the directions of rule and pack', () => {
    const policy = compile({ scope: { directions: ['input'] } });
    expect(evaluateText(policy, 'alpha', { direction: 'output' }).decisions).toEqual([]);
  });

  it('takes a word list only when it is the one the pack names', () => {
    const terms = ['alpha', 'gamma'];
    const digest = lexiconDigest(terms, sha256);
    const source = { sha256: `sha256:${digest}`, entries: 2, visibility: 'committed' as const };
    const pack = parsePack({ ...minimal, detectors: [{ id: 'd.words', type: 'lexicon', source }] });
    const given = (list: readonly string[]) =>
      compilePolicy(pack, { sha256, lexicons: { [digest]: list } });
    expect(evaluateText(given(terms), 'gamma', { direction: 'output' }).text).toContain('redacted');
    expect(() => given(['alpha', 'delta'])).toThrow('is not that list');
    expect(() => compilePolicy(pack, { sha256 })).toThrow('was not given');
  });
});

describe('identity of a pack', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pack = parsePack(minimal);
  const dsse = sign(null, packSigningBytes(pack), privateKey).toString('base64');
  const check = (signed: ReturnType<typeof parsePack>) => () =>
    verifyPackSignature(
      signed,
      ({ message, signature, keyId }) =>
        keyId === 'key-1' && verify(null, message, publicKey, signature),
    );
  const refused = expect.objectContaining({ code: 'signature_invalid' });

  it('is signed over everything but the signature, in canonical form', () => {
    expect(check({ ...pack, signature: { dsse } })).not.toThrow();
    const shuffled = Object.fromEntries(Object.entries(minimal).toReversed());
    expect(check(parsePack({ ...shuffled, signature: { dsse } }))).not.toThrow();
    expect(packDigest({ ...pack, signature: { dsse } }, sha256)).toBe(packDigest(pack, sha256));
  });

  it('is refused unsigned, changed, or with a key nobody knows', () => {
    expect(check(pack)).toThrow(refused);
    expect(check({ ...pack, version: '1.2.4', signature: { dsse } })).toThrow(refused);
    expect(check({ ...pack, signature: { dsse: 'not base64!' } })).toThrow(refused);
    const anonymous = { ...pack, publisher: { name: 'Example' }, signature: { dsse } };
    expect(check(anonymous)).toThrow(refused);
  });
});
