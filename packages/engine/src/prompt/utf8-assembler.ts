// Joins the bytes of tokens to text: a character that spans tokens comes out with its last byte, invalid
// bytes become U+FFFD, and a character left unfinished at the end is dropped.

export interface Utf8Assembler {
  /** Characters completed by these bytes. */
  push(bytes: Uint8Array): string;
}

const isAscii = (bytes: Uint8Array): boolean => bytes.every((byte) => byte < 0x80);

export function createUtf8Assembler(): Utf8Assembler {
  // ignoreBOM: a byte order mark is text like any other here, not an announcement.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return { push: (bytes) => decoder.decode(bytes, { stream: true }) };
}

/** The text of one token alone, as a log-probability entry shows it: U+FFFD where it is no character. */
export function pieceText(bytes: Uint8Array): string {
  if (isAscii(bytes)) return String.fromCharCode(...bytes);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}
