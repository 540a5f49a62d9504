// Prompts, whole texts and replays: the strongest action wins, offsets name the message, and the same
// policy and text always give the same decisions.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compilePolicy } from './compile-policy.ts';
import { evaluateInput, evaluateText, replay } from './evaluate.ts';
import { type PolicyPackInput, parsePack } from './pack-schema.ts';
import { createStreamGuard } from './stream-guard.ts';

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());
const ruleFor = (name: string, action: PolicyPackInput['rules'][number]['action']) => ({
  id: `r.${name}`,
  category: 'c',
  direction: ['input' as const, 'output' as const],
  when: `d.${name}.matched && role != 'system'`,
  action,
  explain: { code: `T-${name.toUpperCase()}`, text: { en: name }, detail: 'none' as const },
  appeal: { url: 'https://appeal.example/' },
});
const packOf = (version: string, terms: readonly string[]) =>
  parsePack({
    schema: 'policy-pack/1',
    id: 'test.pack',
    version,
    title: { en: 'Test' },
    publisher: { name: 'test' },
    basis: [{ type: 'operator-choice' }],
    effective: { from: '2026-01-01' },
    categories: [{ id: 'c' }],
    detectors: terms.map((term) => ({
      id: `d.${term}`,
      type: 'lexicon' as const,
      source: { terms: [term] },
    })),
    rules: [
      ruleFor('note', 'annotate'),
      ruleFor('hide', 'redact'),
      ruleFor('no', 'refuse'),
      ruleFor('halt', 'stop'),
    ].filter(({ id }) => terms.includes(id.slice(2))),
  });
const policy = compilePolicy(packOf('1.0.0', ['note', 'hide', 'no', 'halt']), { sha256 });

describe('evaluateInput', () => {
  it.each([
    ['allow', ['fine', 'also fine']],
    ['annotate', ['fine', 'a note']],
    ['redact', ['a note', 'hide it']],
    ['refuse', ['a note', 'hide it', 'no']],
    ['refuse', ['halt']],
  ])('gives %s for %j', (action, texts) => {
    const messages = texts.map((text) => ({ role: 'user', text }));
    expect(evaluateInput(policy, messages).action).toBe(action);
  });

  it('names message and place, and gives the texts with what was hidden', () => {
    const verdict = evaluateInput(policy, [
      { role: 'system', text: 'hide' },
      { role: 'user', text: 'please hide this' },
    ]);
    expect(verdict.texts).toEqual(['hide', 'please [redacted: T-HIDE] this']);
    expect(verdict.decisions).toMatchObject([
      {
        message: 1,
        start: 7,
        end: 11,
        rule: 'r.hide',
        detector: 'd.hide',
        direction: 'input',
        pack: 'test.pack@1.0.0',
        packDigest: policy.packs[0]?.digest,
        appeal: 'https://appeal.example/',
        explanation: {},
        showSpan: false,
      },
    ]);
  });
});

describe('a stop', () => {
  it('ends the text before the span; nothing behind it is looked at', () => {
    const verdict = evaluateText(policy, 'a note, then halt, hide and note', {
      direction: 'output',
    });
    expect(verdict.text).toBe('a note, then ');
    expect(verdict.stop).toMatchObject({ code: 'T-HALT', start: 13, end: 17 });
    expect(verdict.decisions.map(({ code }) => code)).toEqual(['T-NOTE', 'T-HALT']);
  });

  it('is told once, and later text is swallowed', () => {
    const guard = createStreamGuard(policy, { direction: 'output' });
    expect(guard.push('halt it').stop).not.toBeNull();
    expect(guard.push('more')).toEqual({ release: '', decisions: [], stop: null, omitted: 0 });
    expect(guard.end()).toEqual({ release: '', decisions: [], stop: null, omitted: 0 });
  });
});

describe('a guard', () => {
  it('refuses text after its end, and may be ended twice', () => {
    const guard = createStreamGuard(policy, { direction: 'output' });
    guard.push('x');
    expect(guard.end().release).toBe('x');
    expect(guard.end().release).toBe('');
    expect(() => guard.push('y')).toThrow(expect.objectContaining({ code: 'guard_ended' }));
  });

  it('lists a hundred annotations of a rule and counts the rest; redactions are all listed', () => {
    const verdict = evaluateText(policy, 'note hide '.repeat(150), { direction: 'output' });
    const listed = (code: string) => verdict.decisions.filter((one) => one.code === code).length;
    expect([listed('T-NOTE'), listed('T-HIDE'), verdict.omitted]).toEqual([100, 150, 50]);
  });
});

describe('replay', () => {
  const text = 'a note, hide it, halt';
  const record = {
    policyDigest: policy.digest,
    direction: 'output' as const,
    role: 'assistant',
    lang: 'en',
    text,
    decisions: evaluateText(policy, text, { direction: 'output', lang: 'en' }).decisions,
  };

  it('gives the same decisions again', () => {
    expect(replay(policy, record)).toEqual({
      same: true,
      differences: [],
      decisions: record.decisions,
    });
  });

  it('says what another policy decides otherwise', () => {
    const other = compilePolicy(packOf('2.0.0', ['note', 'halt']), { sha256 });
    const { same, differences } = replay(other, record);
    expect(same).toBe(false);
    expect(differences).toEqual([
      expect.stringContaining('the policy is'),
      'no longer: redact T-HIDE (r.hide) at 8-12',
    ]);
  });
});
