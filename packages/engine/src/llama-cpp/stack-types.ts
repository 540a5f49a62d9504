// The seam for several adapters in one decode, in plain types: weights made ready (`PackedAdapter`), the place
// they are put in side by side (`NativeStack`), and who uses which ranks of it. Why: docs/decisions.

/**
 * How weights lie in a stack. `int8`: Q8_0, the blocks of B all with one scale, so that adapters that share a
 * block do not touch each other's rounding. The others are as in an adapter's own file.
 */
export type StackFormat = 'int8' | 'float16' | 'float32';

/** A matrix of the base that adapters change, by its name in the file: W [outputs, inputs]. */
export interface StackTarget {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
}

/** Weights of an adapter for one target as a stack takes them: alpha and rank are folded in. */
export interface PackedPart {
  /** Rows [rank, inputs], in the bytes of the format. */
  readonly a: Uint8Array;
  /** [outputs, rank]: numbers of the format; for `int8` bytes without scales. */
  readonly b: Uint8Array;
}

export interface PackedAdapter {
  readonly format: StackFormat;
  readonly rank: number;
  readonly bytes: number;
  /** By name of the target; what is missing is not changed. */
  readonly parts: ReadonlyMap<string, PackedPart>;
}

/** Ranks [from, to) of a stack. */
export interface RankRange {
  readonly from: number;
  readonly to: number;
}

/** What a stack will be; the header of its file is made beforehand, because that cannot be done in a step. */
export interface StackPlan {
  readonly format: StackFormat;
  /** A multiple of 32. */
  readonly ranks: number;
  readonly targets: readonly StackTarget[];
  readonly bytes: number;
  readonly header: Uint8Array;
}

/**
 * Several adapters side by side in the place of one, for `useStack`. Written to between decodes only; what
 * was never written is zero.
 */
export interface NativeStack {
  readonly plan: StackPlan;
  /** Puts an adapter at ranks [from, from + its rank). */
  write(from: number, adapter: PackedAdapter): void;
  /** Makes ranks without effect. */
  clear(range: RankRange): void;
  /** Idempotent. Must not be in use in a context any more. */
  close(): void;
}
