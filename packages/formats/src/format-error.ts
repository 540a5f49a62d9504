// The one error this package throws for a file that cannot be used. It carries a stable code of
// contracts/errors.ts (this package imports nothing, so the codes are repeated here) and the parameters
// that the message of that code needs. Knows no HTTP and no terminals.

export type FormatErrorCode = 'model_file_invalid' | 'model_format_refused' | 'model_unsupported';

export interface FormatErrorOptions {
  readonly code?: FormatErrorCode;
  /** The file (or the name of the byte source) at fault. */
  readonly path?: string;
  readonly cause?: unknown;
}

/**
 * A model file that is damaged, hostile or of a refused kind.
 * `reason` says what is wrong and where; for `model_format_refused` it names what was found instead.
 */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: FormatErrorCode;
  readonly reason: string;
  readonly path: string;

  constructor(reason: string, options: FormatErrorOptions = {}) {
    const { code = 'model_file_invalid', path = '', cause } = options;
    super(path === '' ? reason : `${path}: ${reason}`, cause === undefined ? {} : { cause });
    this.code = code;
    this.reason = reason;
    this.path = path;
  }

  /** Values for the holes of the message of `code` in contracts/errors.ts. */
  get params(): { path: string; model: string; reason: string; found: string } {
    return { path: this.path, model: this.path, reason: this.reason, found: this.reason };
  }

  /** True for errors of this class from any copy of the package. */
  static isInstance(value: unknown): value is FormatError {
    return value instanceof Error && value.name === 'FormatError' && 'code' in value;
  }
}

/** Runs `parse` and puts the path on the FormatErrors that do not name one yet. */
export async function withPath<T>(path: string, parse: () => Promise<T> | T): Promise<T> {
  try {
    return await parse();
  } catch (error) {
    if (FormatError.isInstance(error) && error.path === '')
      throw new FormatError(error.reason, { code: error.code, path, cause: error });
    throw error;
  }
}
