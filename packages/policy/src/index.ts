// Public surface of the policy package: packs, compilation, the stream guard, input evaluation, replay.
export {
  compilePolicy,
  type CompiledPolicy,
  type CompileOptions,
  lexiconDigest,
  type PackSummary,
} from './compile-policy.ts';
export { type Decision, type DecisionAction, type Direction, redactionMark } from './decision.ts';
export {
  type DecisionRecord,
  evaluateInput,
  evaluateText,
  type InputDecision,
  type InputMessage,
  type InputVerdict,
  replay,
  type ReplayResult,
  type TextVerdict,
} from './evaluate.ts';
export { type PolicyPack, type PolicyPackInput, parsePack } from './pack-schema.ts';
export {
  packDigest,
  packSigningBytes,
  type Sha256,
  type SignatureVerifier,
  verifyPackSignature,
} from './pack-signature.ts';
export { defaultPack } from './packs/base-security.ts';
export { PolicyError, type PolicyErrorCode, type PolicyIssue } from './policy-error.ts';
export {
  createStreamGuard,
  type GuardOptions,
  type GuardResult,
  type StreamGuard,
} from './stream-guard.ts';
