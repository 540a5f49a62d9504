// The stream guard: text goes in as it is generated, comes out as soon as no rule can still touch it.
//
// Semantics, defined on the whole text; every chunking gives the same decisions and the same output:
// 1. Text is cut into grapheme clusters; detectors find spans of whole clusters (lexicon.ts and
//    regex-scanner.ts define which: leftmost, then longest, not overlapping within a detector).
// 2. Spans are taken by start; at one start the longer first, then in the order of the rules. Each asks
//    the rules whose condition names its detector; counts include it and all spans before it.
// 3. Rules that hold at one start act in this order: exceptions (allow), higher priority, longer span,
//    order of the rules. An exception spares the spans it covers as the pack's `combine` says:
//    first-applicable, those of lower priority; most-specific, those not longer than it;
//    deny-overrides, none.
// 4. redact: the span's text that is still unreleased gives way to one visible mark, so overlapping
//    spans are all removed; a span inside another needs no second mark. refuse, stop: output ends
//    before the span; nothing behind it is looked at. annotate, allow: decisions only.
//
// The hold-back: a character is released when every detector that can change the output (that some rule
// other than annotate asks) has decided all spans that start at or before it, and they were acted on.
// Annotating detectors delay decisions, never text. Knows nothing of HTTP, tokens or time.
import type { CompiledDetector, CompiledPolicy, CompiledRule } from './compile-policy.ts';
import { type Decision, type Direction, redactionMark } from './decision.ts';
import type { Span, SpanScanner } from './match/span-source.ts';
import { PolicyError } from './policy-error.ts';
import { clusterEnd } from './text/clusters.ts';
import { TextViews } from './text/text-views.ts';

/**
 * Annotations and exceptions of one rule beyond this are counted in `omitted`, not listed: a long text of
 * e-mail addresses must not grow a decision log without limit. Redactions and stops are always listed.
 */
const maxAnnotationsPerRule = 100;

export interface GuardOptions {
  readonly direction: Direction;
  /** Role of the message, for conditions. Default: assistant for output, else user. */
  readonly role?: string;
  /** Language tag of the text, for conditions; `und` when unknown. */
  readonly lang?: string;
}

export interface GuardResult {
  /** Text that may be shown now; marks of redactions included. */
  readonly release: string;
  readonly decisions: readonly Decision[];
  /** The decision that ended the stream, once; nothing is released after it. */
  readonly stop: Decision | null;
  /** Annotations not listed because their rule had its share. */
  readonly omitted: number;
}

export interface StreamGuard {
  /** Adds text, cut anywhere. Throws PolicyError `guard_ended` after `end()`. */
  readonly push: (text: string) => GuardResult;
  /** Says that the text is complete; releases the rest. */
  readonly end: () => GuardResult;
}

interface FoundSpan extends Span {
  readonly detector: CompiledDetector;
  /** Position of the detector: the last tie-break. */
  readonly order: number;
}
interface Firing {
  readonly span: FoundSpan;
  readonly rule: CompiledRule;
}
interface Exception {
  readonly end: number;
  readonly length: number;
  readonly firing: Firing;
}

const nothing: GuardResult = { release: '', decisions: [], stop: null, omitted: 0 };

const bySpan = (a: FoundSpan, b: FoundSpan): number =>
  a.start - b.start || b.end - a.end || a.order - b.order;
const isAllow = ({ rule }: Firing): number => (rule.action === 'allow' ? 0 : 1);
const byForce = (a: Firing, b: Firing): number =>
  isAllow(a) - isAllow(b) ||
  b.rule.rule.priority - a.rule.rule.priority ||
  b.span.end - a.span.end ||
  a.rule.order - b.rule.order;

class Guard implements StreamGuard {
  readonly #direction: Direction;
  readonly #rulesOf: ReadonlyMap<CompiledDetector, readonly CompiledRule[]>;
  readonly #enforcing: ReadonlySet<CompiledDetector>;
  readonly #role: string;
  readonly #lang: string;
  readonly #views: TextViews;
  readonly #scanners: readonly { detector: CompiledDetector; scanner: SpanScanner }[];
  /** Original text from offset #base on. */
  #text = '';
  #base = 0;
  /** Everything before is cut into clusters. */
  #processed = 0;
  /** Everything before is released or replaced. */
  #released = 0;
  #ended = false;
  #stopped = false;
  /** Spans found but not yet acted on. */
  #spans: FoundSpan[] = [];
  readonly #counts = new Map<CompiledDetector, bigint>();
  readonly #annotations = new Map<CompiledRule, number>();
  #exceptions: Exception[] = [];
  // The result of the call in progress.
  #release = '';
  #decisions: Decision[] = [];
  #stop: Decision | null = null;
  #omitted = 0;

  constructor(policy: CompiledPolicy, { direction, role, lang = 'und' }: GuardOptions) {
    const program = policy.programs[direction];
    this.#direction = direction;
    this.#rulesOf = program.rulesOf;
    this.#enforcing = program.enforcing;
    this.#role = role ?? (direction === 'output' ? 'assistant' : 'user');
    this.#lang = lang;
    this.#views = new TextViews(program.views);
    this.#scanners = program.detectors.map((detector) => ({
      detector,
      scanner: detector.createScanner(this.#views),
    }));
  }

  push(text: string): GuardResult {
    if (this.#ended) throw new PolicyError('guard_ended', 'The guard was used after its end.');
    return this.#run(text);
  }

  end(): GuardResult {
    if (this.#ended) return nothing;
    this.#ended = true;
    return this.#run('');
  }

  #run(text: string): GuardResult {
    if (this.#stopped) return nothing;
    this.#text += text;
    this.#cut();
    this.#views.join(this.#ended);
    this.#scan();
    if (!this.#stopped) this.#releaseTo(this.#releasable());
    this.#forget();
    const result = {
      release: this.#release,
      decisions: this.#decisions,
      stop: this.#stop,
      omitted: this.#omitted,
    };
    this.#release = '';
    this.#decisions = [];
    this.#stop = null;
    this.#omitted = 0;
    return result;
  }

  #cut(): void {
    const text = this.#text;
    let from = this.#processed - this.#base;
    for (;;) {
      const end = clusterEnd(text, from, this.#ended);
      if (end < 0) break;
      this.#views.push(text.slice(from, end), this.#base + from, this.#base + end);
      from = end;
    }
    this.#processed = this.#base + from;
  }

  /** Lets every detector read, and acts on what all of them have decided. */
  #scan(): void {
    let settled = this.#processed;
    for (const [order, { detector, scanner }] of this.#scanners.entries()) {
      scanner.advance(this.#ended);
      for (const span of scanner.take()) this.#spans.push({ ...span, detector, order });
      settled = Math.min(settled, scanner.openFrom());
    }
    this.#act(settled);
  }

  #releasable(): number {
    let offset = this.#processed;
    for (const { detector, scanner } of this.#scanners) {
      if (this.#enforcing.has(detector)) offset = Math.min(offset, scanner.openFrom());
    }
    for (const { detector, start } of this.#spans) {
      if (this.#enforcing.has(detector)) offset = Math.min(offset, start);
    }
    return offset;
  }

  #act(settled: number): void {
    if (this.#spans.length === 0) return;
    const ready = this.#spans.filter((span) => span.start < settled).toSorted(bySpan);
    if (ready.length === 0) return;
    this.#spans = this.#spans.filter((span) => span.start >= settled);
    for (let from = 0; from < ready.length && !this.#stopped;) {
      const start = ready[from]?.start;
      let to = from;
      while (ready[to]?.start === start) to += 1;
      this.#actAt(ready.slice(from, to));
      from = to;
    }
  }

  /** All spans with one start. */
  #actAt(spans: readonly FoundSpan[]): void {
    const firings = spans.flatMap((span) => this.#firings(span)).toSorted(byForce);
    this.#exceptions = this.#exceptions.filter(({ end }) => end > (spans[0]?.start ?? 0));
    for (const firing of firings) {
      if (this.#stopped) return;
      if (!this.#isSpared(firing)) this.#carryOut(firing);
    }
  }

  #firings(span: FoundSpan): Firing[] {
    const { detector } = span;
    this.#counts.set(detector, (this.#counts.get(detector) ?? 0n) + 1n);
    return (this.#rulesOf.get(detector) ?? [])
      .filter((rule) => rule.condition.holds(this.#contextFor(rule, span)))
      .map((rule) => ({ span, rule }));
  }

  #contextFor(rule: CompiledRule, span: Span) {
    const counters = rule.detectors.map((detector) => {
      const count = this.#counts.get(detector) ?? 0n;
      return [detector.name, { matched: count > 0n, count }] as const;
    });
    return {
      d: Object.fromEntries(counters),
      match: { length: BigInt(span.end - span.start) },
      direction: this.#direction,
      role: this.#role,
      lang: this.#lang,
      audience: rule.audience,
    };
  }

  #isSpared({ span, rule }: Firing): boolean {
    if (rule.action === 'allow') return false;
    const length = span.end - span.start;
    return this.#exceptions.some(({ end, length: allowed, firing }) => {
      if (end < span.end || firing.rule.pack !== rule.pack) return false;
      const { combine } = rule.pack;
      const priority = firing.rule.rule.priority - rule.rule.priority;
      const isFirst = priority > 0 || (priority === 0 && firing.rule.order < rule.order);
      if (combine === 'first-applicable') return isFirst;
      return combine === 'most-specific' && (allowed > length || (allowed === length && isFirst));
    });
  }

  #carryOut(firing: Firing): void {
    const { span, rule } = firing;
    const decision = this.#decisionFor(firing);
    switch (rule.action) {
      case 'allow':
        this.#exceptions.push({ end: span.end, length: span.end - span.start, firing });
        this.#list(rule, decision);
        break;
      case 'annotate':
        this.#list(rule, decision);
        break;
      case 'redact':
        this.#decisions.push(decision);
        this.#releaseTo(span.start);
        if (span.end > this.#released) {
          this.#release += redactionMark(decision.code);
          this.#released = span.end;
        }
        break;
      case 'refuse':
      case 'stop':
        this.#decisions.push(decision);
        this.#releaseTo(span.start);
        this.#stop = decision;
        this.#stopped = true;
        break;
      default:
        rule.action satisfies never;
    }
  }

  #list(rule: CompiledRule, decision: Decision): void {
    const listed = this.#annotations.get(rule) ?? 0;
    this.#annotations.set(rule, listed + 1);
    if (listed < maxAnnotationsPerRule) this.#decisions.push(decision);
    else this.#omitted += 1;
  }

  #decisionFor({ span, rule: { rule, action, pack } }: Firing): Decision {
    return {
      action,
      code: rule.explain.code,
      category: rule.category,
      pack: `${pack.id}@${pack.version}`,
      packDigest: pack.digest,
      rule: rule.id,
      detector: span.detector.id,
      direction: this.#direction,
      start: span.start,
      end: span.end,
      showSpan: rule.explain.detail === 'span',
      explanation: rule.explain.detail === 'none' ? {} : rule.explain.text,
      appeal: rule.appeal?.url ?? null,
    };
  }

  #releaseTo(offset: number): void {
    if (offset <= this.#released) return;
    this.#release += this.#text.slice(this.#released - this.#base, offset - this.#base);
    this.#released = offset;
  }

  #forget(): void {
    if (this.#stopped) {
      this.#text = '';
      return;
    }
    this.#text = this.#text.slice(this.#released - this.#base);
    this.#base = this.#released;
    this.#views.trim((view) => {
      let needed = this.#views.buffer(view).length;
      for (const { scanner } of this.#scanners) needed = Math.min(needed, scanner.needed(view));
      return needed;
    });
  }
}

/**
 * A guard over one text in one direction. It holds back at most `policy.maxHoldBackChars[direction]`
 * UTF-16 units, keeps its policy for its whole life, and needs no closing.
 */
export const createStreamGuard = (policy: CompiledPolicy, options: GuardOptions): StreamGuard =>
  new Guard(policy, options);
