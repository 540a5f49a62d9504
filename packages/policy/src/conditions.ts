// The `when` of a rule: CEL, through @marcbachmann/cel-js, cut down until its cost is bounded by its
// length. Only operators and four plain functions pass: macros (map, filter, exists) would nest loops, and
// cel-js's `matches` runs JavaScript's backtracking RegExp, which a pack could use to stall the server.
import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import type { Direction } from './decision.ts';

const allowedCalls = new Set(['size', 'startsWith', 'endsWith', 'contains']);
const limits = {
  maxAstNodes: 512,
  maxDepth: 32,
  maxListElements: 256,
  maxMapEntries: 16,
  maxCallArguments: 4,
};

/** What a condition sees when a detector has found something. */
interface ConditionContext {
  /** By detector name without `d.`: whether and how often it has matched so far, this time included. */
  readonly d: Readonly<Record<string, { readonly matched: boolean; readonly count: bigint }>>;
  /** The match that asks, in UTF-16 units. */
  readonly match: { readonly length: bigint };
  readonly direction: Direction;
  readonly role: string;
  readonly lang: string;
  readonly audience: string;
}

export interface Condition {
  /** Names (without `d.`) of the detectors whose matches the rule is asked for. */
  readonly detectors: readonly string[];
  readonly holds: (context: ConditionContext) => boolean;
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

function collect(node: ASTNode, detectors: Set<string>): void {
  if ((node.op === 'call' || node.op === 'rcall') && !allowedCalls.has(node.args[0])) {
    throw new Error(`the function "${node.args[0]}" is not available in a policy`);
  }
  if (node.op === '.' && node.args[0].op === 'id' && node.args[0].args === 'd') {
    detectors.add(node.args[1]);
    return;
  }
  if (node.op === 'id' && node.args === 'd') {
    throw new Error('"d" must be followed by the name of a detector, as in d.words.matched');
  }
  const children: unknown = node.args;
  for (const child of Array.isArray(children) ? children.flat(2) : [children]) {
    if (isNode(child)) collect(child, detectors);
  }
}

const firstLine = (text: string): string => text.split('\n')[0] ?? text;

/** The detectors a condition names, found before their types can be declared. */
function referenced(source: string): Set<string> {
  const detectors = new Set<string>();
  collect(new Environment({ limits, unlistedVariablesAreDyn: true }).parse(source).ast, detectors);
  return detectors;
}

/**
 * Compiles a condition over the given detectors (names without `d.`). Throws Error with a reason for a
 * person when it does not parse, is not a truth value, or names what does not exist.
 */
export function compileCondition(source: string, detectorNames: ReadonlySet<string>): Condition {
  const detectors = [...referenced(source)];
  if (detectors.length === 0) throw new Error('it names no detector, so nothing would ever ask it');
  const unknown = detectors.find((name) => !detectorNames.has(name));
  if (unknown !== undefined) throw new Error(`there is no detector "d.${unknown}"`);
  const counter = { matched: 'bool', count: 'int' };
  const schema = Object.fromEntries(detectors.map((name) => [name, counter]));
  const environment = new Environment({ limits })
    .registerVariable({ name: 'd', schema })
    .registerVariable({ name: 'match', schema: { length: 'int' } });
  for (const name of ['direction', 'role', 'lang', 'audience']) {
    environment.registerVariable(name, 'string');
  }
  const evaluate = environment.parse(source);
  const checked = evaluate.check();
  if (!checked.valid) throw new Error(firstLine(checked.error?.message ?? 'it is not valid'));
  if (String(checked.type) !== 'bool') {
    throw new Error(`it gives ${String(checked.type)}, not true or false`);
  }
  return { detectors, holds: (context) => evaluate({ ...context }) === true };
}
