// Where a model lies on this machine, for the commands that work without a server: a path, or the
// miniature that ships with Corral. Everything else is the server's to know.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandError } from './failures.ts';

export const rehearsalModel = 'rehearsal';

/** The shipped miniature, or null in a tree that has not made it yet. */
export function rehearsalPath(): string | null {
  const path = fileURLToPath(new URL('../../../models/rehearsal/rehearsal.gguf', import.meta.url));
  return existsSync(path) ? path : null;
}

/** A file or folder for the trainer, or null when `name` is none on this machine. */
export function localModelPath(name: string): string | null {
  if (existsSync(name)) return resolve(name);
  return name === rehearsalModel ? rehearsalPath() : null;
}

/** @throws CommandError with what would have worked. */
export function requireLocalModel(name: string): string {
  const path = localModelPath(name);
  if (path !== null) return path;
  throw new CommandError(
    `"${name}" is neither a file nor a folder on this machine.`,
    'Give the path of a GGUF file or of a folder with safetensors, or "rehearsal".',
    'model_not_found',
  );
}
