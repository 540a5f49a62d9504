// The documents held to the tree: every relative link leads somewhere, every `corral` command and option
// in code exists, so does every script that is run, and every word that looks like an error code is one.
// Knows Markdown by its fences, spans and links, and the command line by its own table; judges no prose.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandTable, type CommandSpec } from '@corral/cli';
import { errorCodes, errorTable } from '@corral/contracts';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const documents = [
  ...globSync('docs/**/*.md', { cwd: root }),
  ...globSync('packages/*/README.md', { cwd: root }),
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'examples/README.md',
].toSorted();

const fence = /^ *(```+|~~~+)[^\n]*\n([^]*?)^ *\1 *$/gm;
const span = /(`+)([^`\n]|[^`\n][^\n]*?[^`\n])\1/g;

interface Parts {
  /** Everything outside fences and spans, where links are links. */
  readonly prose: string;
  /** The text of code spans. */
  readonly spans: readonly string[];
  /** Lines of fences, and the spans. */
  readonly code: readonly string[];
}

function parseMarkdown(text: string): Parts {
  const fences = [...text.matchAll(fence)].flatMap((match) => (match[2] ?? '').split('\n'));
  const unfenced = text.replaceAll(fence, '\n');
  const spans = [...unfenced.matchAll(span)].map((match) => match[2] ?? '');
  return { prose: unfenced.replaceAll(span, '``'), spans, code: [...fences, ...spans] };
}

const linksOf = ({ prose }: Parts): string[] =>
  [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));

/** Names by which headings are linked to, as GitHub makes them; of equal headings only the first. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.replaceAll(fence, '\n').matchAll(/^#+ +(.+?) *$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );

/** Does the target of a link in `path` exist, file and heading? */
function leadsSomewhere(path: string, target: string): boolean {
  const [name = '', anchor] = target.split('#').map(decodeURIComponent);
  const file = name === '' ? join(root, path) : join(root, dirname(path), name);
  if (!existsSync(file)) return false;
  return anchor === undefined || anchorsOf(readFileSync(file, 'utf8')).has(anchor);
}

const globalFlags = new Set(['--json', '--help', '--version']);
const flagName = (flags: string): string => flags.split(/[\s=]/)[0] ?? '';

/** What is wrong with the words behind `corral`; null when nothing is. */
function problemOfCommand(words: readonly string[]): string | null {
  const [name = '', ...rest] = words;
  const found = commandTable.find((command) => command.name === name);
  if (found === undefined) return `there is no command "corral ${name}"`;
  let command: CommandSpec = found;
  const [second] = rest;
  if (found.subcommands !== undefined && second !== undefined && /^[a-z]+$/.test(second)) {
    const inner = found.subcommands.find((one) => one.name === second);
    // A word may be an argument where the command takes one: `corral deploy ferry`.
    if (inner === undefined && found.args === undefined) {
      return `there is no command "corral ${name} ${second}"`;
    }
    command = inner ?? found;
  }
  const known = new Set([
    ...globalFlags,
    ...(command.options ?? []).map(({ flags }) => flagName(flags)),
  ]);
  const wrong = rest.map(flagName).find((word) => word.startsWith('--') && !known.has(word));
  return wrong === undefined ? null : `"corral ${name}" has no option ${wrong}`;
}

/** Commands in code: `corral` behind the start, a space or a quote, up to a pipe, comment or quote. */
const commandsOf = ({ code }: Parts): string[][] =>
  code.flatMap((line) =>
    [...line.matchAll(/(?:^|[\s("'])corral ([a-z]+\b[^|#;&"')>]*)/g)].map((match) =>
      (match[1] ?? '').trim().split(/\s+/),
    ),
  );

/** Scripts that are run from the root: `node benchmarks/policy/stream-guard.ts`. */
const scriptsOf = ({ code }: Parts): string[] =>
  code.flatMap((line) =>
    [...line.matchAll(/\b(?:node|python) ([\w.-]+\/[\w./-]+)/g)].map((match) => match[1] ?? ''),
  );

/** Codes of the evidence and policy packages, which have words of their own. */
const foreignCodes = [
  'packages/evidence/src/evidence-types.ts',
  'packages/evidence/src/evidence-error.ts',
  'packages/policy/src/policy-error.ts',
].flatMap((path) =>
  [...readFileSync(join(root, path), 'utf8').matchAll(/'([a-z_]+)'/g)].map(([, code]) => code),
);
const knownCodes = new Set<string | undefined>([
  ...errorCodes,
  ...Object.values(errorTable).map(({ type }) => type),
  ...foreignCodes,
]);
const lastWord = (code: string): string => code.split('_').at(-1) ?? '';
/** Last words that other names share: `api_key`, `unsupported_parameter`, `training_file`. */
const sharedEndings = new Set(['key', 'parameter', 'request', 'weights', 'use']);
const codeEndings = new Set(
  [...knownCodes].flatMap((code) => {
    const ending = code?.includes('_') ? lastWord(code) : '';
    return ending === '' || sharedEndings.has(ending) ? [] : ending;
  }),
);

const codesOf = ({ spans }: Parts): string[] =>
  spans.filter((text) => /^[a-z]+(_[a-z]+)+$/.test(text) && codeEndings.has(lastWord(text)));

describe.each(documents)('%s', (path) => {
  const parts = parseMarkdown(readFileSync(join(root, path), 'utf8'));

  it('links to files and headings that exist', () => {
    expect(linksOf(parts).filter((target) => !leadsSomewhere(path, target))).toEqual([]);
  });

  it('names commands and options that exist', () => {
    const problems = commandsOf(parts).flatMap((words) => problemOfCommand(words) ?? []);
    expect(problems).toEqual([]);
  });

  it('runs scripts that exist', () => {
    expect(scriptsOf(parts).filter((script) => !existsSync(join(root, script)))).toEqual([]);
  });

  it('names error codes that exist', () => {
    expect(codesOf(parts).filter((code) => !knownCodes.has(code))).toEqual([]);
  });
});

describe('the check itself', () => {
  const sample = parseMarkdown(
    [
      '[a](gone.md) `[b](not-a-link.md)` ![c](<x.svg> "t") [d](https://example.org) [e](#gone)',
      '`corral polish`, `corral models push`, `corral deploy ferry`, `model_not_fond`, `disk_invalid`',
      '```',
      'npx corral tune BASE FILE --speed 9  # corral nothing',
      'npx corral serve --port 1 | corral chat ferry --json',
      'A=1 npx node tools/gone.ts FILE && node ask.ts',
      '```',
      'corral words in prose are no commands',
    ].join('\n'),
  );

  it('sees links outside code only', () => {
    expect(linksOf(sample)).toEqual(['gone.md', 'x.svg', '#gone']);
  });

  it('knows files and headings from what is not there', () => {
    const targets = [
      '#limits-today',
      'docs/README.md#documents',
      '#gone',
      'docs/README.md#gone',
      'gone.md',
    ];
    expect(targets.map((target) => leadsSomewhere('README.md', target))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it('finds unknown commands, subcommands and options, and no others', () => {
    expect(commandsOf(sample).flatMap((words) => problemOfCommand(words) ?? [])).toEqual([
      '"corral tune" has no option --speed',
      'there is no command "corral nothing"',
      'there is no command "corral polish"',
      'there is no command "corral models push"',
    ]);
  });

  it('finds scripts', () => {
    expect(scriptsOf(sample)).toEqual(['tools/gone.ts']);
  });

  it('finds words that look like error codes', () => {
    expect(codesOf(sample).filter((code) => !knownCodes.has(code))).toEqual(['disk_invalid']);
  });
});
