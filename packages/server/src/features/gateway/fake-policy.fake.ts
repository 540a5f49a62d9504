// A policy of four words for tests: FORBIDDEN refuses a request, NOTED annotates it, SECRET is redacted
// from answers and requests, HALT ends an answer. Holds back as a real one does.
import type { ContentPolicy, GuardStep, OutputGuard, PolicyDecision } from './content-policy.ts';

const words = { FORBIDDEN: 'refuse', NOTED: 'annotate', SECRET: 'redact', HALT: 'stop' } as const;
type Word = keyof typeof words;
const longest = 8; // One less than the longest word: what may be the start of one.

const decide = (word: Word, start: number): PolicyDecision => ({
  action: words[word],
  code: `POL-${word}`,
  category: 'cat.test',
  pack: 'test@1',
  packDigest: 'd'.repeat(64),
  rule: `r.${word.toLowerCase()}`,
  appeal: null,
  start,
  end: start + word.length,
});

function guard(): OutputGuard {
  let held = '';
  let offset = 0;
  let stopped = false;
  const scan = (final: boolean): GuardStep => {
    let release = '';
    const decisions: PolicyDecision[] = [];
    for (;;) {
      const match = /SECRET|HALT/.exec(held);
      if (!match) break;
      const word = match[0] as 'SECRET' | 'HALT';
      const decision = decide(word, offset + match.index);
      release += held.slice(0, match.index);
      decisions.push(decision);
      if (word === 'HALT') {
        stopped = true;
        return { release, decisions, stop: decision };
      }
      release += `[redacted: ${decision.code}]`;
      offset += match.index + word.length;
      held = held.slice(match.index + word.length);
    }
    const keep = final ? 0 : Math.min(longest, held.length);
    const free = held.slice(0, held.length - keep);
    release += free;
    offset += free.length;
    held = held.slice(free.length);
    return { release, decisions, stop: null };
  };
  const nothing: GuardStep = { release: '', decisions: [], stop: null };
  return {
    push(text) {
      if (stopped) return nothing;
      held += text;
      return scan(false);
    },
    end: () => (stopped ? nothing : scan(true)),
  };
}

export const fakePolicy: ContentPolicy = {
  digest: 'd'.repeat(64),
  packs: [{ id: 'test', version: '1' }],
  judgeInput(messages) {
    const decisions: PolicyDecision[] = [];
    const texts = messages.map(({ text }) => {
      for (const word of ['FORBIDDEN', 'NOTED'] as const) {
        const at = text.indexOf(word);
        if (at >= 0) decisions.push(decide(word, at));
      }
      return text;
    });
    const refused = decisions.some(({ action }) => action === 'refuse');
    const action = refused ? 'refuse' : decisions.length > 0 ? 'annotate' : 'allow';
    return { action, decisions, texts };
  },
  guardOutput: guard,
};
