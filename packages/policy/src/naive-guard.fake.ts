// The definition of the stream guard carried out naively: over whole arrays, every span at every place,
// with JavaScript's own RegExp. Slow and short; the guard is tested against it. Shares with the guard the
// normal forms of one cluster, which have their own tests, and nothing else.
import type { PolicyPackInput } from './pack-schema.ts';
import { flag, flagsOf, scriptMask } from './text/char-flags.ts';
import { foldCluster, isSeparator, rawCluster, stripCluster } from './text/normalise.ts';
import { skeletonChar } from './text/text-views.ts';

export type Rule = PolicyPackInput['rules'][number];
export interface RuleSet {
  readonly name: string;
  readonly rules: Rule[];
  readonly combine: PolicyPackInput['combine'];
}

/** Word lists and patterns of the test pack, by detector. */
export const words = {
  plain: ['kill', 'kill switch', 'skill', 'he', 'she', 'hers', 'привет', 'vitamin c', 'poct'],
  inner: ['ab', 'bab', 'babc', '中文', 'ß'],
  cjk: ['中文', '文字', 'ok'],
  exact: ['Key', '\u200b!'],
};
export const patterns = {
  token: { pattern: String.raw`\bsk-[a-z0-9]{3,}`, maxChars: 12, normalise: 'nfkc-strip' },
  greedy: { pattern: String.raw`a+b|(?:ab|aba)+c`, maxChars: 6, normalise: 'nfkc-casefold-strip' },
  edges: { pattern: String.raw`^h|x.{0,3}y$|\be\b`, maxChars: 5, normalise: 'nfkc-strip' },
  raw: { pattern: String.raw`[\u200b\u0301]{2,}`, maxChars: 4, normalise: 'none' },
} as const;

interface Char {
  code: number;
  start: number;
  end: number;
  flags: number;
}
const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

function clustersOf(text: string): { text: string; start: number; end: number }[] {
  const clusters: { text: string; start: number; end: number }[] = [];
  for (let from = 0; from < text.length;) {
    const [first] = segmenter.segment(text.slice(from));
    let length = first?.segment.length ?? 0;
    if (length > 64)
      length = text.slice(from, from + 65).match(/^[^]{63}(?![\ud800-\udbff][\udc00-\udfff])[^]/)
        ? 64
        : 63;
    clusters.push({ text: text.slice(from, from + length), start: from, end: from + length });
    from += length;
  }
  return clusters;
}

function viewsOf(
  text: string,
): Record<'raw' | 'stripped' | 'folded' | 'skeleton' | 'joined', Char[]> {
  const views = {
    raw: [] as Char[],
    stripped: [] as Char[],
    folded: [] as Char[],
    skeleton: [] as Char[],
  };
  let invisible = 0;
  for (const { text: cluster, start, end } of clustersOf(text)) {
    const at = { start, end };
    const plain = (code: number) => ({ code, flags: flagsOf(code), ...at });
    views.raw.push(...rawCluster(cluster).map(plain));
    const stripped = stripCluster(cluster);
    const before = invisible;
    invisible = stripped.length === 0 ? invisible + end - start : 0;
    if (before <= 64 && invisible > 64) {
      const gap = { code: -1, flags: 0, ...at };
      for (const view of [views.stripped, views.folded, views.skeleton]) view.push(gap);
    }
    views.stripped.push(...stripped.map(plain));
    views.folded.push(...foldCluster(cluster).map(plain));
    views.skeleton.push(...foldCluster(cluster).map((code) => ({ ...skeletonChar(code), ...at })));
  }
  const { skeleton } = views;
  const letter = (at: number) => ((skeleton[at]?.flags ?? 0) & flag.letter) !== 0;
  const drops = skeleton.map(
    ({ code }, at) =>
      isSeparator(code) && letter(at - 1) && !letter(at - 2) && letter(at + 1) && !letter(at + 2),
  );
  const joined = skeleton.filter((_, at) => !drops[at]);
  return { ...views, joined };
}

interface Found {
  start: number;
  end: number;
  detector: string;
}

/** Every [i, j) that `counts` accepts; then leftmost, longest, on behind its end. */
function choose(spans: readonly Found[]): Found[] {
  const chosen: Found[] = [];
  let floor = 0;
  for (const span of spans.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < floor) continue;
    chosen.push(span);
    floor = span.end;
  }
  return chosen;
}

function naiveLexicon(
  name: 'plain' | 'inner' | 'cjk' | 'exact',
  views: ReturnType<typeof viewsOf>,
): Found[] {
  const exact = name === 'exact';
  const terms = words[name].map((term) => {
    const chars = clustersOf(term).flatMap(({ text }) =>
      exact
        ? rawCluster(text).map((code) => ({ code, flags: flagsOf(code) }))
        : foldCluster(text).map((code) => skeletonChar(code)),
    );
    return {
      key: chars.map(({ code }) => code).join(),
      size: chars.length,
      script: chars.reduce((m, { flags }) => m | (flags & scriptMask), 0),
    };
  });
  const edge = (view: Char[], right: number) => {
    const [a, b] = [view[right - 1]?.flags ?? 0, view[right]?.flags ?? 0];
    if (name === 'inner' || exact || (a & b & flag.word) === 0) return true;
    return name === 'cjk' && ((a | b) & flag.spaceless) !== 0;
  };
  const spans: Found[] = [];
  for (const viewName of exact ? (['raw'] as const) : (['skeleton', 'joined'] as const)) {
    const view = views[viewName];
    for (let from = 0; from < view.length; from += 1) {
      for (const { key, size, script } of terms) {
        const part = view.slice(from, from + size);
        const [first, last] = [part[0], part.at(-1)];
        if (first === undefined || last === undefined || part.length < size) continue;
        if (part.map(({ code }) => code).join() !== key) continue;
        if (!edge(view, from) || !edge(view, from + size)) continue;
        if (last.end - first.start > 64 * 4 + 64) continue;
        const mask = part.reduce((m, { flags }) => m | (flags & scriptMask), 0);
        const mixed = (mask & (mask - 1)) !== 0;
        // Two terms may share a skeleton in different scripts.
        if (!mixed && mask !== script) continue;
        spans.push({ start: first.start, end: last.end, detector: `d.${name}` });
      }
    }
  }
  return choose(spans);
}

function naiveRegex(name: keyof typeof patterns, views: ReturnType<typeof viewsOf>): Found[] {
  const { pattern, maxChars, normalise } = patterns[name];
  const view =
    views[
      ({ none: 'raw', 'nfkc-strip': 'stripped', 'nfkc-casefold-strip': 'folded' } as const)[
        normalise
      ]
    ];
  // A break matches nothing and is no word character: a private-use character stands for it, and "." may not take it.
  const text = view.map(({ code }) => String.fromCodePoint(code < 0 ? 0xe000 : code));
  const units = text.reduce<number[]>((at, char) => [...at, (at.at(-1) ?? 0) + char.length], [0]);
  const whole = text.join('');
  const dot = pattern.replaceAll('.{', '[^\\n\\ue000]{');
  const found: Found[] = [];
  for (let from = 0; from < view.length;) {
    let end = -1;
    for (let to = Math.min(view.length, from + maxChars); to > from && end < 0; to -= 1) {
      const [first, last] = [view[from], view[to - 1]];
      if (first === undefined || last === undefined || last.end - first.start > maxChars * 4 + 64)
        continue;
      const exactly = new RegExp(`(?:${dot})(?<=^[^]{${to}})`, 'yu');
      exactly.lastIndex = units[from] ?? 0;
      if (exactly.test(whole)) end = to;
    }
    if (end < 0) {
      from += 1;
    } else {
      found.push({
        start: view[from]?.start ?? 0,
        end: view[end - 1]?.end ?? 0,
        detector: `d.${name}`,
      });
      from = end;
    }
  }
  return found;
}

export interface Outcome {
  text: string;
  decisions: { action: string; rule: string; detector: string; start: number; end: number }[];
}

interface Firing {
  span: Found;
  rule: Rule;
  order: number;
  priority: number;
}

function firingsOf(text: string, rules: readonly Rule[]): Firing[] {
  const views = viewsOf(text);
  const used = new Set(
    rules.flatMap(({ when }) => [...when.matchAll(/d\.(\w+)/g)].map(([, name]) => name)),
  );
  // Detectors in the order in which rules first name them.
  const names = [...used];
  const spans = names.flatMap((name = '', order) => {
    const found =
      name in words
        ? naiveLexicon(name as keyof typeof words, views)
        : naiveRegex(name as keyof typeof patterns, views);
    return found.map((span) => ({ ...span, order, name }));
  });
  spans.sort((a, b) => a.start - b.start || b.end - a.end || a.order - b.order);
  const counts: Record<string, number> = {};
  const holds = (when: string, length: number) =>
    when.split(' && ').every((term) => {
      const [, name = '', op] = /^d\.(\w+)\.(\w+)/.exec(term) ?? [];
      const limit = Number(/\d+$/.exec(term)?.[0] ?? 0);
      if (op === 'matched') return (counts[name] ?? 0) > 0;
      if (op === 'count')
        return term.includes('>=') ? (counts[name] ?? 0) >= limit : (counts[name] ?? 0) > limit;
      return term.startsWith('match') ? length > limit : term === "role == 'assistant'";
    });
  const firings = spans.flatMap((span) => {
    counts[span.name] = (counts[span.name] ?? 0) + 1;
    return rules.flatMap((one, order) =>
      one.when.includes(`d.${span.name}.`) && holds(one.when, span.end - span.start)
        ? [{ span, rule: one, order, priority: one.priority ?? 100 }]
        : [],
    );
  });
  const weight = ({ rule: { action } }: Firing) => (action === 'allow' ? 0 : 1);
  return firings.toSorted(
    (a, b) =>
      a.span.start - b.span.start ||
      weight(a) - weight(b) ||
      b.priority - a.priority ||
      b.span.end - a.span.end ||
      a.order - b.order,
  );
}

function isSpared(
  firing: Firing,
  firings: readonly Firing[],
  combine: RuleSet['combine'],
): boolean {
  const { span, rule } = firing;
  const length = span.end - span.start;
  if (rule.action === 'allow') return false;
  return firings.some((other) => {
    const covers = other.span.start <= span.start && other.span.end >= span.end;
    if (other.rule.action !== 'allow' || !covers) return false;
    const first =
      other.priority > firing.priority ||
      (other.priority === firing.priority && other.order < firing.order);
    const allowed = other.span.end - other.span.start;
    if (combine === 'first-applicable') return first;
    return combine === 'most-specific' && (allowed > length || (allowed === length && first));
  });
}

/** What the definition in stream-guard.ts makes of a whole text. */
export function naiveOutcome(text: string, { rules, combine }: RuleSet): Outcome {
  const firings = firingsOf(text, rules);
  const outcome: Outcome = { text: '', decisions: [] };
  let released = 0;
  for (const firing of firings) {
    const { span, rule: one } = firing;
    if (isSpared(firing, firings, combine)) continue;
    outcome.decisions.push({
      action: one.action,
      rule: one.id,
      detector: span.detector,
      start: span.start,
      end: span.end,
    });
    if (one.action === 'allow' || one.action === 'annotate') continue;
    if (span.start > released) {
      outcome.text += text.slice(released, span.start);
      released = span.start;
    }
    if (one.action !== 'redact') return outcome;
    if (span.end > released) {
      outcome.text += `[redacted: ${one.explain.code}]`;
      released = span.end;
    }
  }
  outcome.text += text.slice(released);
  return outcome;
}
