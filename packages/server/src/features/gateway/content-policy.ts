// What the gateway asks of a policy: judge a request, watch an answer while it streams, say what is in
// force. Narrow on purpose; @corral/policy is one implementation (default-policy.ts).
import type { PolicyNotice } from '@corral/contracts';

/** One rule that fired. Offsets and names, never content. */
export interface PolicyDecision extends Omit<PolicyNotice, 'action'> {
  readonly action: 'allow' | PolicyNotice['action'];
  /** SHA-256 of the pack. */
  readonly packDigest: string;
  /** UTF-16 offsets [start, end) in the text as it came. */
  readonly start: number;
  readonly end: number;
}

export interface GuardStep<D extends PolicyDecision = PolicyDecision> {
  /** Text that may go out now: redactions already replaced by their visible mark. */
  readonly release: string;
  readonly decisions: readonly D[];
  /** The answer ends here. */
  readonly stop: D | null;
}

/** One answer's watch; for every way of cutting the same text the outcome is the same. */
export interface OutputGuard {
  push(text: string): GuardStep;
  end(): GuardStep;
}

export interface InputJudgement {
  readonly action: 'allow' | 'annotate' | 'redact' | 'refuse';
  readonly decisions: readonly PolicyDecision[];
  /** The messages' texts, redactions applied. */
  readonly texts: readonly string[];
}

export interface ContentPolicy {
  /** SHA-256 over all packs in force. */
  readonly digest: string;
  /** For `GET /v1/policy`. */
  readonly packs: readonly unknown[];
  judgeInput(messages: readonly { role: string; text: string }[]): InputJudgement;
  guardOutput(): OutputGuard;
}

/** What the person is shown; a decision to allow leaves no mark. */
export function noticesOf(decisions: readonly PolicyDecision[]): PolicyNotice[] {
  return decisions.flatMap(({ action, code, category, pack, rule, appeal }) =>
    action === 'allow' ? [] : { action, code, category, pack, rule, appeal },
  );
}

/** Decisions that changed or ended something, and so go into the evidence log. */
export const isIntervention = ({ action }: PolicyDecision): boolean =>
  action !== 'allow' && action !== 'annotate';
