// Server-sent events from bytes as they come: line ends of three kinds, UTF-8 and everything else may be cut
// anywhere. Only the data matters here. Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
const lineEnd = /\r\n|\r|\n/;

export class SseTooLongError extends Error {
  override readonly name = 'SseTooLongError';
}

export class SseParser {
  readonly #maxLength: number;
  readonly #decoder = new TextDecoder();
  /** Of a line whose end has not come yet. */
  #parts: string[] = [];
  /** Of an event whose end has not come yet. */
  #data: string[] = [];
  /** UTF-16 units in `parts` and `data`. */
  #length = 0;
  /** The last character was CR: a LF that follows belongs to it. */
  #skipLineFeed = false;

  /** @param maxLength UTF-16 units that an unfinished event may take */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  /** The data of events that these bytes complete. Throws SseTooLongError. */
  push(bytes: Uint8Array): string[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return [];
    if (this.#skipLineFeed && text.startsWith('\n')) text = text.slice(1);
    this.#skipLineFeed = text.endsWith('\r');
    const pieces = text.split(lineEnd);
    const rest = pieces.pop() ?? '';
    const events: string[] = [];
    for (const piece of pieces) {
      this.#parts.push(piece);
      this.#line(this.#parts.join(''), events);
      this.#parts = [];
    }
    if (rest !== '') this.#parts.push(rest);
    this.#length += rest.length;
    if (this.#length > this.#maxLength)
      throw new SseTooLongError(`an event has more than ${this.#maxLength} characters`);
    return events;
  }

  #line(line: string, events: string[]): void {
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'));
      this.#data = [];
      this.#length = 0;
      return;
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field !== 'data') return;
    this.#data.push(value);
    this.#length += value.length;
  }
}
