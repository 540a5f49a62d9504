// From packs to a program: every pattern, word list and condition compiled once, immutable afterwards and
// shared by all requests. What cannot work is refused here, all faults at once; nothing is skipped
// silently, because a rule that never fires is a false promise.
import { compileCondition, type Condition } from './conditions.ts';
import { type DecisionAction, decisionActions, type Direction } from './decision.ts';
import { compileLexicon, LexiconScanner } from './match/lexicon.ts';
import { RegexProgram } from './match/regex-program.ts';
import { regexViewOf, RegexScanner } from './match/regex-scanner.ts';
import type { SpanScanner } from './match/span-source.ts';
import type {
  Detector,
  LexiconDetector,
  PackRule,
  PolicyPack,
  RegexDetector,
} from './pack-schema.ts';
import { packDigest, type Sha256, toHex } from './pack-signature.ts';
import { PolicyError, type PolicyIssue } from './policy-error.ts';
import { maxClusterUnits } from './text/clusters.ts';
import { maxInvisibleRun, type TextViews, type ViewName } from './text/text-views.ts';

/** What `GET /v1/policy` may show of a pack. */
export interface PackSummary {
  readonly id: string;
  readonly version: string;
  readonly title: Readonly<Record<string, string>>;
  readonly digest: string;
  readonly publisher: string;
  readonly jurisdiction: readonly string[];
  readonly basis: PolicyPack['basis'];
  readonly effective: PolicyPack['effective'];
  readonly combine: PolicyPack['combine'];
  readonly rules: readonly {
    readonly id: string;
    readonly code: string;
    readonly category: string;
    readonly action: DecisionAction;
    readonly directions: readonly Direction[];
    readonly explanation: Readonly<Record<string, string>>;
    readonly appeal: string | null;
  }[];
}

export interface CompiledDetector {
  /** As written: `d.name`. */
  readonly id: string;
  readonly name: string;
  readonly views: readonly ViewName[];
  readonly maxUnits: number;
  readonly createScanner: (views: TextViews) => SpanScanner;
}

export interface CompiledRule {
  readonly rule: PackRule;
  readonly action: DecisionAction;
  readonly directions: readonly Direction[];
  readonly condition: Condition;
  /** The detectors that ask the condition, by its names. */
  readonly detectors: readonly CompiledDetector[];
  readonly pack: PackSummary;
  readonly audience: string;
  /** Position among all rules: the last tie-break. */
  readonly order: number;
}

/** What runs for one direction. */
interface DirectionProgram {
  readonly detectors: readonly CompiledDetector[];
  readonly rulesOf: ReadonlyMap<CompiledDetector, readonly CompiledRule[]>;
  /** Detectors that a rule other than annotate asks: only they hold text back. */
  readonly enforcing: ReadonlySet<CompiledDetector>;
  readonly views: ReadonlySet<ViewName>;
  readonly maxHoldBackChars: number;
}

export interface CompiledPolicy {
  /** SHA-256 (hex) over the digests of all packs, in order. */
  readonly digest: string;
  /** The packs in force, extended ones first. */
  readonly packs: readonly PackSummary[];
  /** Most UTF-16 units a guard of each direction ever withholds after a push. */
  readonly maxHoldBackChars: Readonly<Record<Direction, number>>;
  readonly programs: Readonly<Record<Direction, DirectionProgram>>;
}

export interface CompileOptions {
  readonly sha256: Sha256;
  /** Packs that `extends` may name. */
  readonly available?: readonly PolicyPack[];
  /** Word lists by the SHA-256 (hex) a pack gives for them; see `lexiconDigest`. */
  readonly lexicons?: Readonly<Record<string, readonly string[]>>;
}

/** SHA-256 (hex) of a word list: its terms, each followed by a newline. */
export const lexiconDigest = (terms: readonly string[], sha256: Sha256): string =>
  toHex(sha256(new TextEncoder().encode(terms.map((term) => `${term}\n`).join(''))));

/**
 * Original units that a match of `maxChars` normalised characters may cover. Disguise makes a text
 * longer (two units for a mathematical letter, a zero-width character after each); four times covers
 * that, and what is stretched further is left alone so that the hold-back stays bounded.
 */
const unitsFor = (maxChars: number): number => maxChars * 4 + 64;

/**
 * What may be withheld beyond an open match: the cluster being read, invisible characters up to their
 * break, and a separator that waits for the two characters behind it.
 */
const holdBackSlack = 4 * (maxClusterUnits + maxInvisibleRun);

class Issues {
  readonly list: PolicyIssue[] = [];

  attempt<T>(path: string, compile: () => T): T | undefined {
    try {
      return compile();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.list.push({ path, message });
      return undefined;
    }
  }
}

/** The pack and all it extends, extended ones first, each once. */
function resolvePacks(root: PolicyPack, available: readonly PolicyPack[]): PolicyPack[] {
  const resolved: PolicyPack[] = [];
  const visit = (pack: PolicyPack, path: readonly string[]): void => {
    if (path.includes(pack.id)) throw new Error(`${pack.id} extends itself`);
    for (const reference of pack.extends) {
      const base = findPack(reference, available);
      visit(base, [...path, pack.id]);
    }
    if (!resolved.includes(pack)) resolved.push(pack);
  };
  visit(root, []);
  return resolved;
}

/** `id@1.2.3` names one version; `id@^1.2` any of the same major that is not older. The newest wins. */
function findPack(reference: string, available: readonly PolicyPack[]): PolicyPack {
  const [id = '', range = ''] = reference.split('@');
  const numbers = (version: string) => version.split('.').map(Number);
  const wanted = numbers(range.replace('^', ''));
  const compare = (a: readonly number[], b: readonly number[]): number =>
    (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0) || (a[2] ?? 0) - (b[2] ?? 0);
  const matches = available.filter((pack) => {
    const version = numbers(pack.version);
    if (pack.id !== id) return false;
    return range.startsWith('^')
      ? version[0] === wanted[0] && compare(version, wanted) >= 0
      : wanted.every((part, at) => part === version[at]);
  });
  const newest = matches.toSorted((a, b) => compare(numbers(b.version), numbers(a.version)))[0];
  if (newest === undefined) throw new Error(`no pack "${reference}" is available`);
  return newest;
}

function termsOf({ source }: LexiconDetector, options: CompileOptions): readonly string[] {
  if ('terms' in source) return source.terms;
  const key = source.sha256.replace('sha256:', '');
  const terms = options.lexicons?.[key];
  if (terms === undefined) throw new Error(`its word list ${key} was not given`);
  if (terms.length !== source.entries || lexiconDigest(terms, options.sha256) !== key) {
    throw new Error(`the word list given for ${key} is not that list`);
  }
  return terms;
}

function compileLexiconDetector(
  detector: LexiconDetector,
  options: CompileOptions,
): CompiledDetector {
  const { normalise, boundary, maxChars } = detector.match;
  const maxUnits = unitsFor(maxChars);
  const settings = { normalise, boundary, maxChars, maxUnits };
  const { lexicon, refused } = compileLexicon(termsOf(detector, options), settings);
  if (refused.length > 0) {
    throw new Error(
      `${refused.length} terms are empty or longer than ${maxChars} characters once normalised, the first is "${refused[0]}"`,
    );
  }
  return {
    id: detector.id,
    name: detector.id.slice(2),
    views: lexicon.views,
    maxUnits,
    createScanner: (views) => new LexiconScanner(lexicon, views),
  };
}

function compileRegexDetector(detector: RegexDetector): CompiledDetector {
  const view = regexViewOf[detector.normalise];
  const maxUnits = unitsFor(detector.maxChars);
  const matcher = {
    program: new RegexProgram(detector.pattern),
    view,
    maxChars: detector.maxChars,
    maxUnits,
    validator: detector.validate,
  };
  return {
    id: detector.id,
    name: detector.id.slice(2),
    views: [view],
    maxUnits,
    createScanner: (views) => new RegexScanner(matcher, views),
  };
}

function compileDetector(detector: Detector, options: CompileOptions): CompiledDetector {
  switch (detector.type) {
    case 'lexicon':
      return compileLexiconDetector(detector, options);
    case 'regex-re2':
      return compileRegexDetector(detector);
    case 'classifier':
    case 'webhook':
      throw new Error(`detectors of type "${detector.type}" cannot run here yet`);
    default:
      return detector satisfies never;
  }
}

const actionOf = (action: PackRule['action']): DecisionAction => {
  const known = decisionActions.find((one) => one === action);
  if (known === undefined) throw new Error(`the action "${action}" cannot be carried out here yet`);
  return known;
};

function directionsOf(pack: PolicyPack, { direction }: PackRule): readonly Direction[] {
  const asked = typeof direction === 'string' ? [direction] : direction;
  return asked.filter((one) => pack.scope.directions.includes(one));
}

function summarise(pack: PolicyPack, sha256: Sha256): PackSummary {
  const { id, version, title, publisher, jurisdiction, basis, effective, combine } = pack;
  const digest = packDigest(pack, sha256);
  const rules = pack.rules.flatMap((rule) => {
    const action = decisionActions.find((one) => one === rule.action);
    if (action === undefined) return [];
    const { code, text } = rule.explain;
    return {
      id: rule.id,
      code,
      category: rule.category,
      action,
      directions: directionsOf(pack, rule),
      explanation: text,
      appeal: rule.appeal?.url ?? null,
    };
  });
  return {
    id,
    version,
    title,
    digest,
    publisher: publisher.name,
    jurisdiction,
    basis,
    effective,
    combine,
    rules,
  };
}

interface Assembly {
  readonly rules: CompiledRule[];
  readonly summaries: PackSummary[];
  /** Detectors by name, as rules of later packs see them. */
  readonly byName: Map<string, CompiledDetector>;
}

function compilePack(
  pack: PolicyPack,
  options: CompileOptions,
  issues: Issues,
  { rules, summaries, byName }: Assembly,
): void {
  const at = `${pack.id}: `;
  const summary = summarise(pack, options.sha256);
  summaries.push(summary);
  for (const [index, detector] of pack.detectors.entries()) {
    const path = `${at}detectors[${index}] (${detector.id})`;
    const compiled = issues.attempt(path, () => compileDetector(detector, options));
    if (compiled !== undefined) byName.set(compiled.name, compiled);
  }
  const categories = new Set(pack.categories.map(({ id }) => id));
  for (const [index, rule] of pack.rules.entries()) {
    const path = `${at}rules[${index}] (${rule.id})`;
    issues.attempt(path, () => {
      if (!categories.has(rule.category)) {
        throw new Error(`the category "${rule.category}" is not among the pack's categories`);
      }
      const condition = compileCondition(rule.when, new Set(byName.keys()));
      rules.push({
        rule,
        action: actionOf(rule.action),
        directions: directionsOf(pack, rule),
        condition,
        detectors: condition.detectors.flatMap((name) => byName.get(name) ?? []),
        pack: summary,
        audience: pack.scope.audience,
        order: rules.length,
      });
    });
  }
}

function programFor(direction: Direction, rules: readonly CompiledRule[]): DirectionProgram {
  const rulesOf = new Map<CompiledDetector, CompiledRule[]>();
  for (const rule of rules.filter(({ directions: own }) => own.includes(direction))) {
    for (const detector of rule.detectors) {
      const known = rulesOf.get(detector);
      if (known === undefined) rulesOf.set(detector, [rule]);
      else known.push(rule);
    }
  }
  const detectors = [...rulesOf.keys()];
  const views = new Set(detectors.flatMap((detector) => detector.views));
  const enforcing = new Set(
    detectors.filter((one) => rulesOf.get(one)?.some(({ action }) => action !== 'annotate')),
  );
  // An enforcing span also waits its turn behind open annotations, so all detectors count.
  const holding = enforcing.size === 0 ? [] : detectors;
  const longest = holding.reduce((max, { maxUnits }) => Math.max(max, maxUnits), 0);
  return { detectors, rulesOf, enforcing, views, maxHoldBackChars: longest + holdBackSlack };
}

/**
 * Compiles a pack (as `parsePack` gives it) with the packs it extends.
 * Throws PolicyError `pack_rejected` with every fault by path.
 */
export function compilePolicy(pack: PolicyPack, options: CompileOptions): CompiledPolicy {
  const issues = new Issues();
  const packs = issues.attempt('extends', () => resolvePacks(pack, options.available ?? [])) ?? [];
  const assembly: Assembly = { rules: [], summaries: [], byName: new Map() };
  for (const one of packs) compilePack(one, options, issues, assembly);
  if (issues.list.length > 0) {
    const name = `${pack.id}@${pack.version}`;
    throw new PolicyError('pack_rejected', `The policy pack ${name} cannot work:`, issues.list);
  }
  const { rules, summaries } = assembly;
  const byDirection = <T>(value: (direction: Direction) => T): Record<Direction, T> => ({
    input: value('input'),
    output: value('output'),
    tool: value('tool'),
    retrieval: value('retrieval'),
    'training-data': value('training-data'),
  });
  const programs = byDirection((direction) => programFor(direction, rules));
  const digests = summaries.map(({ digest }) => `${digest}\n`).join('');
  return {
    digest: toHex(options.sha256(new TextEncoder().encode(digests))),
    packs: summaries,
    maxHoldBackChars: byDirection((direction) => programs[direction].maxHoldBackChars),
    programs,
  };
}
