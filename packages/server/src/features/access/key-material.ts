// What a key is made of: prefix, 32 random bytes, the hash that is kept, the hint that is shown.
import { createHash, randomBytes } from 'node:crypto';

const keyPrefix = 'sk-corral-';
/** Prefix and 32 bytes in base64url. */
const keyPattern = /^sk-corral-[\w-]{43}$/;

export const isKey = (text: string): boolean => keyPattern.test(text);
/** SHA-256, hexadecimal. A key has 256 random bits: no salt and no slow hash is needed. */
export const hashOfKey = (key: string): string => createHash('sha256').update(key).digest('hex');
/** Enough to recognise a key by: `sk-corral-…abcd`. */
export const hintOfKey = (key: string): string => `${keyPrefix}…${key.slice(-4)}`;

export function newKey(): { secret: string; hash: string; hint: string } {
  const secret = keyPrefix + randomBytes(32).toString('base64url');
  return { secret, hash: hashOfKey(secret), hint: hintOfKey(secret) };
}
