// Where prompts are cut, and what they may take from each other.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cutOf,
  largePiece,
  nextLargePiece,
  nextSmallPiece,
  reusable,
  smallestBatch,
} from './prompt-cut.ts';

describe('the cut', () => {
  it('lies at a multiple of a large piece, before the last tokens', () => {
    expect([1, 63, 130, 191, 192, 1000].map((length) => cutOf(length))).toEqual([
      0, 0, 128, 128, 128, 960,
    ]);
  });

  it('leaves no token by itself', () => {
    const cuts = fc.record({ length: fc.integer({ min: 1, max: 3000 }), boundary: fc.nat(3000) });
    fc.assert(
      fc.property(cuts, ({ length, boundary }) => {
        fc.pre(boundary < length);
        for (const cut of [cutOf(length), cutOf(length, boundary)]) {
          expect(length === 1 || length - cut !== 1).toBe(true);
          expect(cut === 0 || cut >= largePiece).toBe(true);
          for (let left = length - cut; left > 0; left -= nextSmallPiece(left)) {
            expect(length === 1 || nextSmallPiece(left) > 1).toBe(true);
            expect(nextSmallPiece(left)).toBeLessThan(largePiece);
          }
        }
      }),
    );
  });

  it('leaves a short prompt in one piece', () => {
    expect([64, 65, 128].map((length) => cutOf(length))).toEqual([64, 65, 128]);
  });

  it('lies before the last message when that is short', () => {
    expect(cutOf(1018, 995)).toBe(995);
    expect(cutOf(1500, 995)).toBe(1472);
    expect(cutOf(60, 20)).toBe(0);
  });

  it('leaves large pieces only before it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: largePiece, max: 3000 }),
        fc.integer({ min: largePiece, max: 512 }),
        (length, room) => {
          for (let left = length; left > 0;) {
            const piece = nextLargePiece(left, room);
            expect(piece).toBeGreaterThanOrEqual(largePiece);
            expect(piece).toBeLessThanOrEqual(Math.max(room, smallestBatch));
            left -= piece;
          }
        },
      ),
    );
  });
});

describe('what is taken over', () => {
  it('is everything when both were cut at the same place', () => {
    expect(reusable(1010, 995, 995)).toBe(1010);
    expect(reusable(319, 256, 256)).toBe(319);
  });

  it('ends where one was computed in another way', () => {
    expect(reusable(1000, 960, 1088)).toBe(960);
    expect(reusable(1000, Infinity, 960)).toBe(960);
  });

  it('leaves enough for a large piece before the cut', () => {
    expect(reusable(1000, Infinity, 1020)).toBe(956);
  });

  it('ends where an answer begins that was computed token by token', () => {
    expect(reusable(900, 300, 960)).toBe(300);
  });

  it('is nothing of a beginning so short that the rest would be computed in another way', () => {
    expect(reusable(24, Infinity, 64)).toBe(0);
    expect(reusable(24, 64, 0)).toBe(0);
    expect(reusable(100, Infinity, 110)).toBe(46);
    expect(reusable(24, Infinity, 128)).toBe(24);
  });

  it('is nothing when it saves nothing', () => {
    expect(reusable(15, Infinity, 0)).toBe(0);
  });

  it('leaves none or enough for a large piece before the cut, and nothing computed otherwise', () => {
    const place = fc.nat(2000);
    const isExact = (common: number, smallFrom: number, cut: number): boolean => {
      const taken = reusable(common, smallFrom, cut);
      const leavesEnough = taken === 0 || taken >= cut || cut - taken >= largePiece;
      return leavesEnough && (taken <= Math.min(smallFrom, cut) || smallFrom === cut);
    };
    expect(isExact(900, 300, 300)).toBe(true);
    fc.assert(fc.property(place, place, place, isExact));
  });

  it('is never more than what is common', () => {
    const place = fc.nat(2000);
    fc.assert(
      fc.property(place, place, place, (common, smallFrom, cut) => {
        expect(reusable(common, smallFrom, cut)).toBeLessThanOrEqual(common);
      }),
    );
  });
});
