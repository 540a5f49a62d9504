// The policy that is in force when an operator has chosen none: @corral/policy's default pack.
import { sha256 } from '@corral/evidence';
import { compilePolicy, createStreamGuard, defaultPack, evaluateInput } from '@corral/policy';
import type { ContentPolicy } from './content-policy.ts';

export function createDefaultPolicy(): ContentPolicy {
  const policy = compilePolicy(defaultPack, { sha256 });
  return {
    digest: policy.digest,
    packs: policy.packs,
    judgeInput: (messages) => evaluateInput(policy, messages),
    guardOutput: () => createStreamGuard(policy, { direction: 'output' }),
  };
}
