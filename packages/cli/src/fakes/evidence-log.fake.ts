// An evidence log in memory with a real tree and real signatures, for the fake server.
import {
  canonicalJson,
  createSigner,
  generateSigningKey,
  MerkleTree,
  sha256,
  signCheckpoint,
} from '@corral/evidence';
import type { AuditEvent, EvidenceBundle, EvidenceHead, EvidenceProof } from '@corral/contracts';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
/** RFC 6962 2.1: SHA-256(0x00 ‖ leaf). */
const hashOf = (leaf: string): Uint8Array =>
  sha256(Buffer.concat([Buffer.of(0), Buffer.from(leaf)]));

export function createFakeLog() {
  const signer = createSigner({ name: 'fake.corral', privateKey: generateSigningKey() });
  const tree = new MerkleTree();
  const leaves: string[] = [];
  const checkpoint = () => signCheckpoint({ size: tree.size, root: tree.root() }, signer);
  return {
    leaves,
    record(action: string, kind: string, id: string): void {
      const event: AuditEvent = {
        schema: 'corral-audit/1',
        time: new Date(0).toISOString(),
        action,
        actor: { kind: 'system', id: 'fake' },
        project: null,
        resource: { kind, id },
        outcome: 'ok',
        request_id: null,
        before: null,
        after: null,
      };
      const leaf = canonicalJson(event);
      leaves.push(leaf);
      tree.append(hashOf(leaf));
    },
    head: (): EvidenceHead => ({
      size: tree.size,
      root: base64(tree.root()),
      checkpoint: checkpoint(),
      verifier_key: signer.verifierKey,
    }),
    proof: (index: number): EvidenceProof => ({
      schema: 'corral-proof/1',
      index,
      leaf: leaves[index] ?? '',
      proof: tree.inclusionProof(index).map(base64),
      checkpoint: checkpoint(),
      verifier_key: signer.verifierKey,
    }),
    bundle: (): EvidenceBundle => ({
      schema: 'corral-evidence/1',
      leaves: [...leaves],
      checkpoint: checkpoint(),
      verifier_key: signer.verifierKey,
    }),
  };
}
