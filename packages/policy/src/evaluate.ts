// Whole texts through the same guard as streams: answers, prompts, recorded decisions. One code path, so
// that a stream and its whole text can never be judged differently.
import type { CompiledPolicy } from './compile-policy.ts';
import type { Decision, DecisionAction, Direction } from './decision.ts';
import { createStreamGuard, type GuardOptions } from './stream-guard.ts';

export interface TextVerdict {
  /** The text with redactions, up to the stop if there was one. */
  readonly text: string;
  readonly decisions: readonly Decision[];
  readonly stop: Decision | null;
  readonly omitted: number;
}

/** Judges a whole text. */
export function evaluateText(
  policy: CompiledPolicy,
  text: string,
  options: GuardOptions,
): TextVerdict {
  const guard = createStreamGuard(policy, options);
  const [first, last] = [guard.push(text), guard.end()];
  return {
    text: first.release + last.release,
    decisions: [...first.decisions, ...last.decisions],
    stop: first.stop ?? last.stop,
    omitted: first.omitted + last.omitted,
  };
}

export interface InputMessage {
  readonly role: string;
  readonly text: string;
}
export interface InputDecision extends Decision {
  /** Index of the message. */
  readonly message: number;
}
export interface InputVerdict {
  /** The strongest action of all decisions; an exception counts as allow, stop as refuse. */
  readonly action: Exclude<DecisionAction, 'stop'>;
  readonly decisions: readonly InputDecision[];
  /** The messages' texts with redactions; meaningless when refused. */
  readonly texts: readonly string[];
  readonly omitted: number;
}

const strength: readonly InputVerdict['action'][] = ['allow', 'annotate', 'redact', 'refuse'];

/** Judges a prompt, message by message. */
export function evaluateInput(
  policy: CompiledPolicy,
  messages: readonly InputMessage[],
  options: Partial<Pick<GuardOptions, 'direction' | 'lang'>> = {},
): InputVerdict {
  const verdicts = messages.map(({ role, text }) =>
    evaluateText(policy, text, { direction: 'input', ...options, role }),
  );
  const decisions = verdicts.flatMap((verdict, message) =>
    verdict.decisions.map((decision) => ({ ...decision, message })),
  );
  const strongest = decisions.reduce((max, { action }) => {
    const counted = action === 'stop' ? 'refuse' : action;
    return Math.max(max, strength.indexOf(counted));
  }, 0);
  return {
    action: strength[strongest] ?? 'allow',
    decisions,
    texts: verdicts.map(({ text }) => text),
    omitted: verdicts.reduce((sum, { omitted }) => sum + omitted, 0),
  };
}

/** Enough to make a judgement again: what was judged, and what came of it. */
export interface DecisionRecord {
  /** `CompiledPolicy.digest` at the time. */
  readonly policyDigest: string;
  readonly direction: Direction;
  readonly role: string;
  readonly lang: string;
  readonly text: string;
  readonly decisions: readonly Decision[];
}

export interface ReplayResult {
  readonly same: boolean;
  /** What differs, for a person; empty when the same. */
  readonly differences: readonly string[];
  readonly decisions: readonly Decision[];
}

const describe = ({ action, code, rule, start, end }: Decision): string =>
  `${action} ${code} (${rule}) at ${start}-${end}`;

/** Judges a recorded text again and compares: same packs and text must give the same decisions. */
export function replay(policy: CompiledPolicy, record: DecisionRecord): ReplayResult {
  const { direction, role, lang, text } = record;
  const { decisions } = evaluateText(policy, text, { direction, role, lang });
  const before = record.decisions.map(describe);
  const now = decisions.map(describe);
  const differences = [
    ...(policy.digest === record.policyDigest
      ? []
      : [`the policy is ${policy.digest}, then it was ${record.policyDigest}`]),
    ...before.filter((line) => !now.includes(line)).map((line) => `no longer: ${line}`),
    ...now.filter((line) => !before.includes(line)).map((line) => `new: ${line}`),
  ];
  return { same: differences.length === 0, differences, decisions };
}
