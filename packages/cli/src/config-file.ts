// A file of keys and values that a person wrote, YAML or JSON, read as far as the command line needs it: the
// sections are checked by whoever runs them (the trainer alone, or the server).
import { readFile } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import { parse } from 'yaml';

/** The sections of the file. @throws CorralError file_not_found, config_invalid */
export async function readConfigFile(
  path: string,
  { mayBeEmpty = false } = {},
): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new CorralError('file_not_found', { params: { path }, cause });
  }
  const invalid = (details: string, cause?: unknown) =>
    new CorralError('config_invalid', { params: { details: `${path}: ${details}` }, cause });
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 16 });
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (mayBeEmpty && (value === null || value === undefined)) return {};
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid('keys and values are wanted, for example "train: {epochs: 3}"');
}
