// Public surface of the policy package: packs, compilation, the stream guard, input evaluation, replay.
export { type Decision, type DecisionAction, type Direction, redactionMark } from './decision.ts';
export { type PolicyPack, type PolicyPackInput, parsePack } from './pack-schema.ts';
export { PolicyError, type PolicyErrorCode, type PolicyIssue } from './policy-error.ts';
