// The shape of a command: one description from which parsing, `--help` and the written guide are made,
// and one function that does the work. Knows no command and no parser.
import type { Context } from './context.ts';
import { UsageError } from './failures.ts';

interface ArgumentSpec {
  /** Upper case, as people read it; `[NAME]` when it may be left out, `NAME...` when it may repeat. */
  readonly name: string;
  readonly description: string;
}

export interface OptionSpec {
  /** `--port NUMBER`, or `--keep` for a switch. */
  readonly flags: string;
  readonly description: string;
  /** Shown in help and given to the command when the option is not typed. */
  readonly fallback?: string;
  readonly choices?: readonly string[];
  readonly required?: boolean;
}

interface ExampleSpec {
  readonly command: string;
  readonly says: string;
}

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** A paragraph more for `--help`. */
  readonly details?: string;
  readonly args?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  readonly examples: readonly ExampleSpec[];
  /** First line of an error: what did not happen. */
  readonly failure: string;
  readonly subcommands?: readonly CommandSpec[];
  readonly run?: (context: Context, input: Input) => Promise<number | void>;
}

const optionName = (flags: string): string => flags.replace(/^--/, '').split(/[\s=]/)[0] ?? '';

/** What was typed, read by name and checked on reading. */
export interface Input {
  /** The argument at `index`; misuse when it is missing. */
  arg(index: number): string;
  optionalArg(index: number): string | undefined;
  /** All arguments from `index` on. */
  rest(index: number): readonly string[];
  text(option: string): string | undefined;
  requiredText(option: string): string;
  /** A whole number within the bounds. */
  integer(option: string, bounds?: { min?: number; max?: number }): number | undefined;
  number(option: string, bounds?: { min?: number; max?: number }): number | undefined;
  flag(option: string): boolean;
}

/** @throws UsageError from its methods, naming the option and the value in quotes. */
export function createInput(
  spec: CommandSpec,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Input {
  const known = new Set((spec.options ?? []).map(({ flags }) => optionName(flags)));
  const read = (option: string): unknown => {
    // A name that the table does not have is a defect of ours, found by the first test that runs it.
    if (!known.has(option)) throw new Error(`the command "${spec.name}" has no --${option}`);
    return options[option.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
  };
  const text = (option: string): string | undefined => {
    const value = read(option);
    return typeof value === 'string' ? value : undefined;
  };
  const number: Input['number'] = (option, { min = -Infinity, max = Infinity } = {}) => {
    const value = text(option);
    if (value === undefined) return undefined;
    const parsed = value.trim() === '' ? Number.NaN : Number(value);
    if (Number.isFinite(parsed) && parsed >= min && parsed <= max) return parsed;
    const range = Number.isFinite(min) && Number.isFinite(max) ? ` from ${min} to ${max}` : '';
    throw new UsageError(
      `--${option} is "${value}"; a number${range} is wanted.`,
      `Correct --${option}.`,
    );
  };
  const missing = (what: string) =>
    new UsageError(`${what} is missing.`, `See "corral ${spec.name} --help".`);
  return {
    arg(index) {
      const value = args[index];
      if (value === undefined) throw missing(spec.args?.[index]?.name ?? 'An argument');
      return value;
    },
    optionalArg: (index) => args[index],
    rest: (index) => args.slice(index),
    text,
    requiredText(option) {
      const value = text(option);
      if (value === undefined) throw missing(`--${option}`);
      return value;
    },
    number,
    integer(option, bounds = {}) {
      const value = number(option, bounds);
      if (value === undefined || Number.isInteger(value)) return value;
      throw new UsageError(
        `--${option} is "${value}"; a whole number is wanted.`,
        `Correct --${option}.`,
      );
    },
    flag: (option) => read(option) === true,
  };
}
