// JSON that is still being written, as a reader of its strings would see it: escapes are resolved, all else
// stays. A rule that knows a word must know it as "\u0077ord" too. Remembers which characters came from
// where, so that what is let go in the one form can be sent in the other.

/** A run of characters: `raw` of the JSON text stand for `read` of the view. */
interface Run {
  readonly raw: number;
  readonly read: number;
}

const short: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

export class JsonView {
  /** Text of the view not yet asked for again; null: there was no escape so far, both forms are equal. */
  #runs: Run[] | null = null;
  #rawStart = 0;
  #readStart = 0;
  #pending = '';

  /** Adds JSON text, cut anywhere; gives what it adds to the view. */
  push(json: string): string {
    if (this.#runs === null) {
      if (!json.includes('\\')) {
        this.#plain += json.length;
        return json;
      }
      this.#runs = [{ raw: this.#plain, read: this.#plain }];
    }
    return this.#resolve(this.#pending + json, false);
  }

  /** What is left of an escape that never ended. */
  end(): string {
    return this.#pending === '' ? '' : this.#resolve(this.#pending, true);
  }

  /** Offset in the JSON text of an offset in the view that is not before an earlier one asked for. */
  rawOffset(read: number): number {
    const runs = this.#runs;
    if (runs === null) return read;
    for (let run = runs[0]; run !== undefined; run = runs[0]) {
      const within = read - this.#readStart;
      if (within < run.read) return this.#rawStart + (run.raw === run.read ? within : 0);
      this.#rawStart += run.raw;
      this.#readStart += run.read;
      runs.shift();
    }
    return this.#rawStart;
  }

  #plain = 0;

  #resolve(text: string, final: boolean): string {
    let read = '';
    let at = 0;
    for (;;) {
      const escape = text.indexOf('\\', at);
      const end = escape < 0 ? text.length : escape;
      if (end > at) read += this.#add(text.slice(at, end), end - at);
      if (escape < 0) break;
      const length = text[escape + 1] === 'u' ? 6 : 2;
      if (escape + length > text.length) {
        if (final) read += this.#add(text.slice(escape), text.length - escape);
        this.#pending = final ? '' : text.slice(escape);
        return read;
      }
      read += this.#add(resolved(text.slice(escape, escape + length)), length);
      at = escape + length;
    }
    this.#pending = '';
    return read;
  }

  #add(read: string, raw: number): string {
    this.#runs?.push({ raw, read: read.length });
    return read;
  }
}

/** The one character of an escape; as it stands when it is none. */
function resolved(escape: string): string {
  const letter = escape[1] ?? '';
  if (letter !== 'u') return short[letter] ?? letter;
  const code = /^\\u[0-9a-fA-F]{4}$/.test(escape) ? Number.parseInt(escape.slice(2), 16) : null;
  return code === null ? escape : String.fromCharCode(code);
}
