// Every failure as three lines for a person (what, why, what to do) or one object for a machine, and
// as an exit code. Knows the error classes that can reach a command, and no command.
import { CorralError, errorCodes, errorTable, type ErrorCode } from '@corral/contracts';
import { APIConnectionError, APIError, APIUserAbortError } from 'openai';

/** The command line itself was wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly next: string;
  constructor(message: string, next: string) {
    super(message);
    this.next = next;
  }
}

/** A failure that only the command line knows, in its own words: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly next: string;
  readonly code: string;
  constructor(message: string, next: string, code = 'command_failed') {
    super(message);
    this.next = next;
    this.code = code;
  }
}

export interface Failure {
  readonly code: string;
  readonly why: string;
  readonly next: string;
  readonly exitCode: number;
}

export const exitCodes = { ok: 0, failed: 1, misuse: 2, interrupted: 130 } as const;

/** What to do about a failure that has no name. */
export const reportDefect =
  'Run "corral doctor"; if it finds nothing, this is a defect: please report it with the command you typed.';

const fileErrors: Readonly<Record<string, (path: string) => [why: string, next: string]>> = {
  ENOENT: (path) => [`There is no file "${path}".`, 'Check the path.'],
  EISDIR: (path) => [`"${path}" is a folder.`, 'Give a file.'],
  ENOTDIR: (path) => [`"${path}" is not a folder.`, 'Give a folder.'],
  EACCES: (path) => [`This user may not open "${path}".`, 'Check the permissions of the file.'],
  ENOSPC: (path) => [`The disk of "${path}" is full.`, 'Free space, or set CORRAL_HOME elsewhere.'],
};

function fromOpenAI(error: APIError): Failure {
  const known = errorCodes.find((code) => code === error.code);
  const template = known === undefined ? undefined : errorTable[known].next;
  // The official client keeps no "next step"; the table's own serves where it has no holes.
  const next = template === undefined || template.includes('{') ? 'Run "corral status".' : template;
  const message = error.message.replace(/^\d{3} /, '');
  return { code: known ?? 'request_failed', why: message, next, exitCode: exitCodes.failed };
}

function fromSystem(error: NodeJS.ErrnoException): Failure | null {
  const describe = error.code === undefined ? undefined : fileErrors[error.code];
  if (describe === undefined) return null;
  const [why, next] = describe(error.path ?? '?');
  return { code: 'file_not_usable', why, next, exitCode: exitCodes.failed };
}

const exitCodeOf = (code: ErrorCode): number => {
  if (code === 'cancelled') return exitCodes.interrupted;
  // A wrong configuration file is a wrong command line, written down.
  return code === 'config_invalid' ? exitCodes.misuse : exitCodes.failed;
};

/** What a person should know of anything thrown. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof UsageError) {
    return { code: 'usage', why: error.message, next: error.next, exitCode: exitCodes.misuse };
  }
  if (error instanceof CommandError) {
    const { code, message, next } = error;
    return { code, why: message, next, exitCode: exitCodes.failed };
  }
  if (error instanceof APIUserAbortError) return describeFailure(new CorralError('cancelled'));
  if (CorralError.isInstance(error)) {
    const { code, message, next } = error;
    return { code, why: message, next, exitCode: exitCodeOf(code) };
  }
  if (error instanceof APIConnectionError) {
    const { message, next, code } = new CorralError('server_unreachable', {
      params: { base_url: 'its address' },
    });
    return { code, why: message, next, exitCode: exitCodes.failed };
  }
  if (error instanceof APIError) return fromOpenAI(error);
  const system = error instanceof Error ? fromSystem(error) : null;
  if (system) return system;
  return {
    code: 'internal_error',
    why: error instanceof Error ? error.message : String(error),
    next: reportDefect,
    exitCode: exitCodes.failed,
  };
}

const indent = (text: string): string => text.replaceAll('\n', '\n       ');

/** The three lines. `what` says which thing did not happen. */
export function formatFailure(
  what: string,
  failure: Failure,
  paint: { red(text: string): string; dim(text: string): string },
): string {
  return [
    `${paint.red('✗')} ${what}`,
    `  ${paint.dim('Why:')} ${indent(failure.why)}`,
    `  ${paint.dim('Do:')}  ${indent(failure.next)}`,
    '',
  ].join('\n');
}
