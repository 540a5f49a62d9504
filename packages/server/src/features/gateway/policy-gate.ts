// The policy at the door: prompts are judged before an engine sees them, and what was decided, in either
// direction, goes into the evidence log. Knows no HTTP.
import { CorralError } from '@corral/contracts';
import type { PolicyNotice, Prompt } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { isIntervention, noticesOf } from './content-policy.ts';
import type { ContentPolicy, PolicyDecision } from './content-policy.ts';
import { textsOf, withTexts } from './prompt-texts.ts';

export interface PolicyGateDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly policy: ContentPolicy;
}

export interface Judged {
  /** As they may be asked. */
  readonly prompts: readonly Prompt[];
  readonly notices: readonly PolicyNotice[];
}

/** Names and places; no text, and nothing that is in the pack anyway. */
const recordOf = (decision: PolicyDecision) => {
  const { action, code, category, pack, packDigest, rule, start, end } = decision;
  return { action, code, category, pack, pack_digest: packDigest, rule, start, end };
};

/** Redactions, refusals and stops go into the evidence log; annotations are only shown. */
export async function recordDecisions(
  { db, audit, policy }: PolicyGateDependencies,
  context: RequestContext,
  about: { model: string; side: 'input' | 'output'; decisions: readonly PolicyDecision[] },
): Promise<void> {
  const interventions = about.decisions.filter(isIntervention);
  if (interventions.length === 0) return;
  await db.transaction().execute((tx) =>
    audit.append(tx, {
      ...auditFrom(context),
      action: `policy.${about.side}_intervened`,
      resource: { kind: 'model', id: about.model },
      outcome: interventions.some(({ action }) => action !== 'redact') ? 'refused' : 'ok',
      before: null,
      after: { policy_digest: policy.digest, decisions: interventions.map(recordOf) },
    }),
  );
}

export interface Asking {
  readonly model: string;
  readonly prompts: readonly Prompt[];
  /** The request's field that holds them. */
  readonly field: string;
  /** The text that tokens stand for. */
  readonly textOf: (prompt: Prompt) => Promise<string>;
}

/** A rule that ends answers refuses requests; so does a redaction where nothing can be replaced. */
function refusal(notices: readonly PolicyNotice[], field: string): CorralError {
  const strongest =
    notices.find(({ action }) => action === 'refuse' || action === 'stop') ??
    notices.find(({ action }) => action === 'redact');
  const { pack = '', rule = '', category = '' } = strongest ?? {};
  return new CorralError('content_blocked', {
    params: { pack, rule, category },
    param: field,
    details: { policy: notices },
  });
}

/** Throws content_blocked; else the prompts as they may be asked, and what to tell of it. */
export async function judgePrompts(
  deps: PolicyGateDependencies,
  context: RequestContext,
  { model, prompts: given, field, textOf }: Asking,
): Promise<Judged> {
  const readable = await Promise.all(
    given.map(async (prompt): Promise<Prompt> =>
      prompt.kind === 'tokens' ? { kind: 'text', text: await textOf(prompt) } : prompt,
    ),
  );
  const perPrompt = readable.map(textsOf);
  const { action, decisions, texts } = deps.policy.judgeInput(perPrompt.flat());
  await recordDecisions(deps, context, { model, side: 'input', decisions });
  const notices = noticesOf(decisions);
  if (action === 'refuse') throw refusal(notices, field);
  if (action !== 'redact') return { prompts: given, notices };
  let at = 0;
  const prompts = given.map((prompt, i) => {
    const own = perPrompt[i] ?? [];
    const shown = texts.slice(at, (at += own.length));
    if (shown.every((text, k) => text === own[k]?.text)) return prompt;
    const replaced = withTexts(readable[i] ?? prompt, shown);
    if (replaced === null) throw refusal(notices, field);
    return replaced;
  });
  return { prompts, notices };
}
