// Public surface of the evidence package: canonical JSON, Merkle log, signed heads, verification.
export { canonicalJson, parseCanonicalJson } from './canonical-json.ts';
export {
  type Checkpoint,
  type CheckpointSigner,
  createSigner,
  parseVerifierKey,
  signCheckpoint,
  signNote,
  type TreeHead,
  verifyCheckpoint,
  verifyNote,
  type Verifier,
} from './checkpoint.ts';
export { generateSigningKey, sha256 } from './crypto.ts';
export { EvidenceError, type EvidenceErrorCode } from './evidence-error.ts';
export { bundleFileLines, bundleLine, proofFileText, verifyEvidenceFile } from './evidence-file.ts';
export type {
  EvidenceBundle,
  EvidenceProof,
  Problem,
  ProblemCode,
  Verification,
  VerifyOptions,
} from './evidence-types.ts';
export { MerkleTree } from './memory-tree.ts';
export {
  assembleProof,
  CompactRange,
  consistencyPlan,
  emptyRoot,
  inclusionPlan,
  leafHash,
  type NodeId,
  nodeHash,
  type ProofPlan,
  type RangeState,
  type TreeNode,
  verifyConsistency,
  verifyInclusion,
} from './merkle-tree.ts';
export { verifyBundle, verifyProof } from './verify.ts';
