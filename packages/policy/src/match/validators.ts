// Checks on a matched text that no regular expression can make. Each takes the normalised text of the
// match; all are linear.
import type { ValidatorName } from '../pack-schema.ts';

/** `skip`: not a match, and nothing inside it is one either. */
export type Verdict = 'match' | 'no-match' | 'skip';

/** Luhn's check digit over the digits (ISO/IEC 7812-1); not all the same digit. */
function luhn(text: string): boolean {
  const digits = text.replace(/\D/g, '');
  if (digits.length < 12 || /^(\d)\1*$/.test(digits)) return false;
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at]);
    const doubled = digit * 2;
    sum += at % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** ISO 13616 / ISO 7064 MOD 97-10: the first four characters go to the end, letters count 10 to 35. */
function iban(text: string): boolean {
  const compact = text.replace(/[^0-9A-Za-z]/g, '').toUpperCase();
  if (compact.length < 15 || compact.length > 34) return false;
  let remainder = 0;
  for (const char of compact.slice(4) + compact.slice(0, 4)) {
    const value = Number.parseInt(char, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1;
}

// A flag of a subdivision: black flag, tag letters or digits, cancel tag (UTS #51 ED-14a).
const subdivisionFlag = /^\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{3,6}\u{E007F}$/u;
/** Tag characters that are not a subdivision flag: they have no glyph and can carry hidden text. */
const hiddenTags = (text: string): Verdict => (subdivisionFlag.test(text) ? 'skip' : 'match');

/**
 * Tells a generated key from hyphenated words: some run of ten letters and digits has both. A random
 * key of 32 characters fails this less than once in a hundred.
 */
const randomToken = (text: string): boolean =>
  (text.match(/[A-Za-z0-9]{10,}/g) ?? []).some((run) => /\d/.test(run) && /[A-Za-z]/.test(run));

const when = (check: (text: string) => boolean) => (text: string) =>
  check(text) ? ('match' as const) : ('no-match' as const);

export const validate: Record<ValidatorName, (text: string) => Verdict> = {
  luhn: when(luhn),
  iban: when(iban),
  'hidden-tags': hiddenTags,
  'random-token': when(randomToken),
};
