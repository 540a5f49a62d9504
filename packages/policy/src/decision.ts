// What the policy decides, as plain data: one Decision for each rule that fired, and what a caller may
// show of it. Holds offsets, never content, so that it can go into logs.

/** What a rule can do to text here; `allow` records an exception. */
export const decisionActions = ['allow', 'annotate', 'redact', 'refuse', 'stop'] as const;
export type DecisionAction = (typeof decisionActions)[number];

export const directions = ['input', 'output', 'tool', 'retrieval', 'training-data'] as const;
export type Direction = (typeof directions)[number];

export interface Decision {
  readonly action: DecisionAction;
  /** Reason code shown to the person, for example `POL-S01`. */
  readonly code: string;
  readonly category: string;
  /** `id@version` of the pack the rule stands in. */
  readonly pack: string;
  /** SHA-256 (hex) of that pack's canonical JSON. */
  readonly packDigest: string;
  readonly rule: string;
  readonly detector: string;
  readonly direction: Direction;
  /** UTF-16 offsets [start, end) in the text as it was given; on grapheme boundaries. */
  readonly start: number;
  readonly end: number;
  /** False when a pack hides the place: show the category only. */
  readonly showSpan: boolean;
  /** Explanation by language tag, from the pack. */
  readonly explanation: Readonly<Record<string, string>>;
  readonly appeal: string | null;
}

/** The visible mark that stands for redacted text. */
export const redactionMark = (code: string): string => `[redacted: ${code}]`;
