// The written guide to the command line, made from the table of commands. A test holds
// docs/guides/command-line.md to it.
import type { CommandSpec } from './command-spec.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|');

const usage = (path: string, { args = [], options = [], run }: CommandSpec): string => {
  const words = args.map(({ name }) => name);
  const required = options.filter((option) => option.required).map(({ flags }) => flags);
  const more = options.some((option) => !option.required) || run !== undefined;
  return [path, ...words, ...required, ...(more ? ['[options]'] : [])].join(' ');
};

function optionTable({ args = [], options = [] }: CommandSpec): string {
  const rows = [
    ...args.map(({ name, description }) => [`\`${name}\``, description]),
    ...options.map(({ flags, description, fallback }) => [
      `\`${flags}\``,
      fallback === undefined ? description : `${description} (default \`${fallback}\`)`,
    ]),
  ];
  if (rows.length === 0) return '';
  const body = rows.map((row) => `| ${row.map((text) => cell(text ?? '')).join(' | ')} |`);
  return ['| | |', '|---|---|', ...body, ''].join('\n');
}

function exampleBlock({ examples }: CommandSpec): string {
  const width = Math.max(...examples.map(({ command }) => command.length));
  const lines = examples.map(({ command, says }) => `${command.padEnd(width)}  # ${says}`);
  return ['```', ...lines, '```', ''].join('\n');
}

function commandSection(spec: CommandSpec, above: string, depth: number): string {
  const path = `${above} ${spec.name}`;
  const about = `${spec.summary.charAt(0).toUpperCase()}${spec.summary.slice(1)}.`;
  const own = [
    `${'#'.repeat(depth)} ${path}`,
    '',
    spec.details === undefined ? about : `${about} ${spec.details}`,
    '',
    ...(spec.run === undefined ? [] : [`\`${usage(path, spec)}\``, '']),
    optionTable(spec),
    exampleBlock(spec),
  ];
  const below = (spec.subcommands ?? []).map((child) => commandSection(child, path, depth + 1));
  return [...own.filter((part, at) => part !== '' || own[at - 1] !== ''), ...below].join('\n');
}

/** The whole guide, as Markdown. */
export function commandLineGuide(table: readonly CommandSpec[]): string {
  return `# The command line

\`npx corral COMMAND\` in a clone, \`corral COMMAND\` once installed. Any Node from 20 on starts it; it runs on the
Node 24 that the npm package \`node\` brings.

* Every command explains itself: \`corral COMMAND --help\`.
* \`--json\` prints the result as JSON on stdout and nothing else there; an error is then one JSON object on stderr.
* Progress is a live line on stderr when that is a terminal, and a plain line every few seconds otherwise.
* Exit code 0: it worked. 1: it failed. 2: the command was not understood. 130: Ctrl-C.
* An error is three lines: what did not happen, why, and what to do.
* Ctrl-C ends what the command started; the same command again goes on where it was.

State is in \`CORRAL_HOME\` (default \`~/.corral\`). The server and its key are found in
\`$CORRAL_HOME/credentials.json\`; \`CORRAL_BASE_URL\` and \`CORRAL_API_KEY\` win over it.

${table.map((spec) => commandSection(spec, 'corral', 2)).join('\n')}`;
}
