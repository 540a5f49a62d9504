// The policy that is in force when an operator has chosen none: @corral/policy's default pack.
import { sha256 } from '@corral/evidence';
import { compilePolicy, createStreamGuard, defaultPack, evaluateInput } from '@corral/policy';
import type { CompiledPolicy } from '@corral/policy';
import type { ContentPolicy, InputJudgement, PolicyDecision } from './content-policy.ts';

type Texts = Parameters<ContentPolicy['judgeInput']>[0];

const strength: readonly InputJudgement['action'][] = ['allow', 'annotate', 'redact', 'refuse'];
const stronger = (a: InputJudgement['action'], b: InputJudgement['action']) =>
  strength.indexOf(a) >= strength.indexOf(b) ? a : b;

const nameOf = ({ pack, rule, start, end }: PolicyDecision): string =>
  `${pack} ${rule} ${start} ${end}`;

/**
 * What comes from tools is judged by the rules for tools, and by those for requests as well: anybody can
 * send a message that says it is a tool's.
 */
function judgeInput(policy: CompiledPolicy, messages: Texts): InputJudgement {
  const asked = evaluateInput(policy, messages);
  const isTool = messages.map(({ role }) => role === 'tool');
  if (asked.action === 'refuse' || !isTool.includes(true)) return asked;
  const results = messages.flatMap(({ role }, i) =>
    isTool[i] ? [{ role, text: asked.texts[i] ?? '' }] : [],
  );
  const told = evaluateInput(policy, results, { direction: 'tool' });
  const replaced = told.texts.values();
  const known = new Set(asked.decisions.map(nameOf));
  return {
    action: stronger(asked.action, told.action),
    decisions: [...asked.decisions, ...told.decisions.filter((one) => !known.has(nameOf(one)))],
    texts: asked.texts.map((text, i) => (isTool[i] ? (replaced.next().value ?? text) : text)),
  };
}

export function createDefaultPolicy(): ContentPolicy {
  const policy = compilePolicy(defaultPack, { sha256 });
  return {
    digest: policy.digest,
    packs: policy.packs,
    judgeInput: (messages) => judgeInput(policy, messages),
    guardOutput: () => createStreamGuard(policy, { direction: 'output' }),
  };
}
