// Errors of formats' readers and of the file system, with this project's codes.
import { CorralError } from '@corral/contracts';
import { FormatError } from '@corral/formats';

/** Runs `read`; `path` is named where the error names none. */
export async function withCodes<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (FormatError.isInstance(error)) {
      throw new CorralError(error.code, {
        params: { ...error.params, path: error.path || path },
        cause: error,
      });
    }
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CorralError('file_not_found', { params: { path }, cause: error });
    }
    throw error;
  }
}
