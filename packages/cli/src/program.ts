// Makes the parser from the table of commands and runs what was typed. The only file that knows
// commander; knows no command.
import { Command, CommanderError, Option } from 'commander';
import { createInput, type CommandSpec, type OptionSpec } from './command-spec.ts';
import type { Context } from './context.ts';
import { UsageError, describeFailure, exitCodes, formatFailure } from './failures.ts';

export interface ProgramOptions {
  readonly commands: readonly CommandSpec[];
  readonly version: string;
  /** Everything but `json`, which the command line decides. */
  readonly context: Omit<Context, 'json'>;
}

const intro = `Train, prove, serve and govern a custom model of the Llama family on your own machine.`;

const jsonOption: OptionSpec = { flags: '--json', description: 'print the result as JSON' };

/** `--port NUMBER` → commander's `--port <NUMBER>`. */
const commanderFlags = (flags: string): string => flags.replace(/ (\S+)$/, ' <$1>');
const commanderArgument = (name: string): string => (name.startsWith('[') ? name : `<${name}>`);

function toOption({ flags, description, fallback, choices, required }: OptionSpec): Option {
  const option = new Option(commanderFlags(flags), description);
  if (choices !== undefined) option.choices([...choices]);
  if (fallback !== undefined) option.default(fallback);
  if (required === true) option.makeOptionMandatory();
  return option;
}

/** The examples as `--help` shows them. */
function formatExamples(spec: CommandSpec): string {
  const width = Math.max(...spec.examples.map(({ command }) => command.length));
  const lines = spec.examples.map(({ command, says }) => `  ${command.padEnd(width)}  # ${says}`);
  return `\nExamples:\n${lines.join('\n')}`;
}

interface Outcome {
  code: number;
}

function addCommand(parent: Command, spec: CommandSpec, options: ProgramOptions, done: Outcome) {
  const command = parent.command(spec.name).summary(spec.summary).helpCommand(false);
  command.description(
    spec.details === undefined ? spec.summary : `${spec.summary}.\n\n${spec.details}`,
  );
  for (const { name, description } of spec.args ?? []) {
    // A command that is also a group is typed alone to see its help, so its argument may be missing.
    const optional = spec.subcommands !== undefined && !name.startsWith('[');
    command.argument(optional ? `[${name}]` : commanderArgument(name), description);
  }
  for (const option of spec.options ?? []) command.addOption(toOption(option));
  const { run } = spec;
  if (run !== undefined) {
    command.addOption(toOption(jsonOption));
    command.action(async () => {
      const typed = command.opts();
      const context: Context = { ...options.context, json: typed['json'] === true };
      done.code = await guarded(spec, context, () =>
        run(context, createInput(spec, command.args, typed)),
      );
    });
  }
  for (const child of spec.subcommands ?? []) addCommand(command, child, options, done);
  command.addHelpText('after', formatExamples(spec));
}

async function guarded(
  spec: CommandSpec,
  context: Context,
  work: () => Promise<number | void>,
): Promise<number> {
  try {
    return (await work()) ?? exitCodes.ok;
  } catch (error) {
    const failure = describeFailure(error);
    if (context.signal.aborted) return exitCodes.interrupted;
    if (context.json) {
      const { code, why, next } = failure;
      context.io.err(`${JSON.stringify({ error: { code, message: why, next } })}\n`);
    } else context.io.err(formatFailure(spec.failure, failure, context.io.colors));
    if (failure.code === 'internal_error' && context.env['CORRAL_DEBUG'] !== undefined) {
      context.io.err(`${error instanceof Error ? error.stack : String(error)}\n`);
    }
    return failure.exitCode;
  }
}

/** The parser, ready for `parseAsync`; `outcome.code` is the exit code afterwards. */
function buildProgram(options: ProgramOptions): { program: Command; outcome: Outcome } {
  const { io } = options.context;
  const outcome: Outcome = { code: exitCodes.ok };
  const program = new Command('corral')
    .description(intro)
    .version(options.version, '--version', 'print the version')
    .helpOption('--help', 'show this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      // Parse errors are printed by `runProgram`, in three lines like every other.
      outputError: () => undefined,
      getErrHelpWidth: () => Math.min(100, io.columns()),
      getOutHelpWidth: () => Math.min(100, io.columns()),
    })
    .configureHelp({
      subcommandTerm: (command) =>
        [command.name(), ...command.registeredArguments.map((argument) => argument.name())].join(
          ' ',
        ),
    })
    .addHelpText(
      'after',
      '\nStart with "corral quickstart". Each command explains itself: "corral COMMAND --help".',
    );
  for (const spec of options.commands) addCommand(program, spec, options, outcome);
  return { program, outcome };
}

const sentence = (message: string): string => {
  const text = message.replace(/^error: /, '').replace(/\n\(Did you mean/, ' (Did you mean');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.)?]$/.test(text) ? '' : '.'}`;
};

/** Parses and runs. @param argv what was typed after `corral`. @returns the exit code. */
export async function runProgram(
  argv: readonly string[],
  options: ProgramOptions,
): Promise<number> {
  const { io } = options.context;
  const { program, outcome } = buildProgram(options);
  if (argv.length === 0) {
    program.outputHelp();
    return exitCodes.ok;
  }
  const misuse = (message: string): number => {
    const usage = new UsageError(sentence(message), helpFor(argv, options.commands));
    if (argv.includes('--json')) {
      const { message: why, next } = usage;
      io.err(`${JSON.stringify({ error: { code: 'usage', message: why, next } })}\n`);
    } else {
      io.err(formatFailure('The command was not understood.', describeFailure(usage), io.colors));
    }
    return exitCodes.misuse;
  };
  // The parser would show the help of what is above, and call that a success.
  const unknown = argv.includes('--help') ? unknownWord(argv, options.commands) : null;
  if (unknown !== null) return misuse(`unknown command '${unknown}'`);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return outcome.code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version') {
      return exitCodes.ok;
    }
    if (error.code === 'commander.help') return exitCodes.misuse;
    return misuse(error.message);
  }
}

/** The first word that names no command where one is wanted. */
function unknownWord(argv: readonly string[], commands: readonly CommandSpec[]): string | null {
  let level = commands;
  for (const word of argv) {
    if (word.startsWith('-') || level.length === 0) return null;
    const found = level.find(({ name }) => name === word);
    if (found === undefined) return word;
    // A group that can be run itself takes any word for its argument.
    level = found.run === undefined ? (found.subcommands ?? []) : [];
  }
  return null;
}

/** "See corral models pull --help": the deepest command that the words name. */
function helpFor(argv: readonly string[], commands: readonly CommandSpec[]): string {
  const path = ['corral'];
  let level: readonly CommandSpec[] = commands;
  for (const word of argv) {
    const found = level.find(({ name }) => name === word);
    if (found === undefined) break;
    path.push(found.name);
    level = found.subcommands ?? [];
  }
  return `See "${path.join(' ')} --help".`;
}
