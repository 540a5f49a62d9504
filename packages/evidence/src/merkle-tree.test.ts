// The tree against published vectors (certificate-transparency's reference tests) and against the
// recursive definition of RFC 6962, written here naively.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from './bytes.ts';
import { MerkleTree } from './memory-tree.ts';
import {
  assembleProof,
  CompactRange,
  consistencyPlan,
  emptyRoot,
  inclusionPlan,
  leafHash,
  nodeHash,
  verifyConsistency,
  verifyInclusion,
} from './merkle-tree.ts';

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
// Leaves, roots and proofs of google/certificate-transparency's merkletree tests.
const referenceLeaves = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map(bytes);
const referenceRoots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const referenceInclusion = {
  index: 5,
  size: 8,
  proof: [
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ],
};
const referenceConsistency = {
  first: 6,
  second: 8,
  proof: [
    '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ],
};

const treeOf = (leaves: readonly Uint8Array[]) => {
  const tree = new MerkleTree();
  for (const leaf of leaves) tree.append(leafHash(leaf));
  return tree;
};
const numbered = (count: number) => Array.from({ length: count }, (_, at) => utf8(`leaf ${at}`));

/** MTH of RFC 6962 2.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only, ...others] = leaves;
  if (only === undefined) return emptyRoot();
  if (others.length === 0) return leafHash(only);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}
/** PATH of RFC 6962 2.1.1. */
function naivePath(index: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return index < k
    ? [...naivePath(index, left), naiveRoot(right)]
    : [...naivePath(index - k, right), naiveRoot(left)];
}
/** SUBPROOF of RFC 6962 2.1.2. */
function naiveConsistency(
  first: number,
  leaves: readonly Uint8Array[],
  complete = true,
): Uint8Array[] {
  if (first === leaves.length) return complete ? [] : [naiveRoot(leaves)];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return first <= k
    ? [...naiveConsistency(first, left, complete), naiveRoot(right)]
    : [...naiveConsistency(first - k, right, false), naiveRoot(left)];
}

const maxSize = 70;
const sizeAndIndex = fc
  .integer({ min: 1, max: maxSize })
  .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 0, max: size - 1 })));

describe('published vectors', () => {
  it('gives the reference root after every append', () => {
    const range = new CompactRange();
    expect(toHex(range.root())).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
    const roots = referenceLeaves.map((leaf) => {
      range.append(leafHash(leaf));
      return toHex(range.root());
    });
    expect(roots).toEqual(referenceRoots);
  });

  it('gives the reference inclusion and consistency proofs', () => {
    const tree = treeOf(referenceLeaves);
    const { index, size, first, second } = { ...referenceInclusion, ...referenceConsistency };
    expect(tree.inclusionProof(index, size).map(toHex)).toEqual(referenceInclusion.proof);
    expect(tree.consistencyProof(first, second).map(toHex)).toEqual(referenceConsistency.proof);
  });
});

describe('against the recursive definition', () => {
  it('agrees on roots and inclusion proofs, and verifies them', () => {
    fc.assert(
      fc.property(sizeAndIndex, ([size, index]) => {
        const leaves = numbered(size);
        const tree = treeOf(numbered(maxSize));
        const proof = tree.inclusionProof(index, size);
        const root = naiveRoot(leaves);
        expect(treeOf(leaves).root()).toEqual(root);
        expect(proof).toEqual(naivePath(index, leaves));
        const claim = { leafHash: leafHash(utf8(`leaf ${index}`)), index, size, root, proof };
        expect(verifyInclusion(claim)).toBe(true);
        expect(verifyInclusion({ ...claim, leafHash: leafHash(utf8('other')) })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: [...proof, root] })).toBe(false);
        expect(size > 1 && verifyInclusion({ ...claim, proof: proof.slice(1) })).toBe(false);
        expect(size > 1 && verifyInclusion({ ...claim, index: (index + 1) % size })).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  it('agrees on consistency proofs, and verifies them', () => {
    fc.assert(
      fc.property(sizeAndIndex, ([second, before]) => {
        const first = before + 1;
        const leaves = numbered(second);
        const [firstRoot, secondRoot] = [naiveRoot(leaves.slice(0, first)), naiveRoot(leaves)];
        const proof = treeOf(numbered(maxSize)).consistencyProof(first, second);
        expect(proof).toEqual(naiveConsistency(first, leaves));
        const claim = { first, firstRoot, second, secondRoot, proof };
        expect(verifyConsistency(claim)).toBe(true);
        const other = leafHash(utf8('other'));
        expect(verifyConsistency({ ...claim, firstRoot: other })).toBe(false);
        expect(verifyConsistency({ ...claim, secondRoot: other })).toBe(false);
        expect(verifyConsistency({ ...claim, proof: [...proof, other] })).toBe(false);
      }),
      { numRuns: 150 },
    );
  });
});

describe('CompactRange', () => {
  it('goes on after a restore as if it had never stopped', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 0, max: 40 }),
        (before, more) => {
          const whole = new CompactRange();
          let resumed = new CompactRange();
          numbered(before + more).forEach((leaf, at) => {
            if (at === before) {
              resumed = CompactRange.restore(JSON.parse(JSON.stringify(resumed.state())));
            }
            expect(resumed.append(leafHash(leaf))).toEqual(whole.append(leafHash(leaf)));
          });
          expect(resumed.root()).toEqual(whole.root());
          expect(resumed.state()).toEqual(whole.state());
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['a missing hash', { size: 3, hashes: [] }],
    ['a short hash', { size: 1, hashes: ['AAAA'] }],
    ['a size that is no number', { size: Number.NaN, hashes: [] }],
    ['a negative size', { size: -1, hashes: [] }],
  ])('refuses a saved state with %s', (_, state) => {
    expect(() => CompactRange.restore(state)).toThrow(
      expect.objectContaining({ code: 'state_invalid' }),
    );
  });

  it('refuses a leaf hash of the wrong length', () => {
    expect(() => new CompactRange().append(new Uint8Array(31))).toThrow('32 bytes');
  });
});

describe('plans', () => {
  it('need few stored nodes for a huge log and no rounding near 2^53', () => {
    const size = 2 ** 53 - 1;
    const plan = inclusionPlan(size - 2, size);
    expect(plan.length).toBe(53);
    for (const { level, index } of plan.flat()) {
      expect(Number.isInteger(index)).toBe(true);
      expect((index + 1) * 2 ** level).toBeLessThanOrEqual(size);
    }
  });

  it('refuse indices and sizes outside the log', () => {
    const refused = expect.objectContaining({ code: 'range_invalid' });
    expect(() => inclusionPlan(5, 5)).toThrow(refused);
    expect(() => inclusionPlan(-1, 5)).toThrow(refused);
    expect(() => inclusionPlan(0.5, 5)).toThrow(refused);
    expect(() => consistencyPlan(6, 5)).toThrow(refused);
    expect(() => treeOf(numbered(2)).inclusionProof(0, 3)).toThrow(refused);
  });

  it('read only complete subtrees', () => {
    const tree = treeOf(numbered(11));
    const proof = assembleProof(inclusionPlan(3, 11), ({ level, index }) => {
      expect((index + 1) * 2 ** level).toBeLessThanOrEqual(11);
      return naiveRoot(numbered(11).slice(index * 2 ** level, (index + 1) * 2 ** level));
    });
    expect(proof).toEqual(tree.inclusionProof(3, 11));
  });
});
