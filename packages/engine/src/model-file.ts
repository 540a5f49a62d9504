// The gate before native code: a file is opened by llama.cpp only after its header was read and checked
// here, because llama.cpp aborts the process on some headers that it should refuse.
import { CorralError } from '@corral/contracts';
import {
  detectFormat,
  FormatError,
  openFileSource,
  readGguf,
  validateModelHeader,
} from '@corral/formats';

/** Throws CorralError `file_not_found`, `model_format_refused` or `model_file_invalid`. */
export type CheckModelFile = (path: string, kind: 'model' | 'adapter') => Promise<void>;

export const checkModelFile: CheckModelFile = async (path, kind) => {
  try {
    await using source = await openFileSource(path);
    // Says what a file is that is no model at all; safetensors are read by the trainer, not served.
    await detectFormat(source);
    const file = await readGguf(source);
    if (kind === 'model') validateModelHeader(file);
  } catch (error) {
    throw asCorralError(path, error);
  }
};

/** Errors of readers and of the file system with the codes of contracts; others as they are. */
export function asCorralError(path: string, error: unknown): unknown {
  if (CorralError.isInstance(error)) return error;
  if (FormatError.isInstance(error))
    return new CorralError(error.code, { params: { ...error.params, path }, cause: error });
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new CorralError('file_not_found', { params: { path }, cause: error });
  if (typeof code === 'string')
    return new CorralError('model_file_invalid', { params: { path, reason: code }, cause: error });
  return error;
}
