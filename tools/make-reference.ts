// Writes docs/reference/*.md from the definitions in code, or with --check fails when they differ.
// Knows only how tables are printed; what is in them stands in packages/contracts and the server.
import { readFileSync, writeFileSync } from 'node:fs';
import { errorCodes, errorTable, runConfigSchema } from '@corral/contracts';
import { settings } from '@corral/server';
import { z } from 'zod';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Record<string, JsonSchema>;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows.map((row) => row.map(cell))]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');

function errorsPage(): string {
  const rows = errorCodes.map((code) => {
    const { status, type, message, next } = errorTable[code];
    return [`\`${code}\``, String(status), type, message, next];
  });
  return `# Error codes

Every error that Corral answers has one of these codes, over HTTP as OpenAI's \`error.code\` and on the
command line. Codes never change their meaning. \`{name}\` stands for a value of the case at hand.

${table(['code', 'status', 'type', 'message', 'what to do'], rows)}
`;
}

function typeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(', ');
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' or ');
  if (schema.type === 'array') return `list of ${schema.items ? typeText(schema.items) : 'values'}`;
  const low = schema.exclusiveMinimum === undefined ? schema.minimum : schema.exclusiveMinimum;
  const sign = schema.exclusiveMinimum === undefined ? '≥' : '>';
  const isNumber = schema.type === 'number' || schema.type === 'integer';
  const bounds = [
    low !== undefined && low > Number.MIN_SAFE_INTEGER ? `${sign} ${low}` : '',
    schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER
      ? `≤ ${schema.maximum}`
      : '',
  ].filter((text) => text !== '');
  const base = String(schema.type ?? 'any');
  return isNumber && bounds.length > 0 ? `${base} ${bounds.join(', ')}` : base;
}

function configRows(schema: JsonSchema, prefix = ''): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const name = prefix + key;
    if (value.properties) return configRows(value, `${name}.`);
    const fallback = value.default === undefined ? '' : `\`${JSON.stringify(value.default)}\``;
    return [[`\`${name}\``, typeText(value), fallback]];
  });
}

function runConfigPage(): string {
  const schema = z.toJSONSchema(runConfigSchema, { io: 'input' }) as JsonSchema;
  return `# Run configuration

The YAML file of \`corral train --config FILE\`, in the order of a run. Unknown keys are an error; all
errors are reported at once.

${table(['key', 'value', 'default'], configRows(schema))}
`;
}

function settingsPage(): string {
  const rows = settings.map(({ key, environment, default: value, description }) => [
    `\`${key}\``,
    `\`${environment}\``,
    value === undefined ? '' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``,
    description,
  ]);
  return `# Settings of the server

Each has a key in the YAML file \`$CORRAL_HOME/config.yaml\` (or the one that \`CORRAL_CONFIG\` names; \`a.b\` is the
key \`b\` under \`a\`) and an environment variable. Flags of \`corral serve\` win over the environment, the environment
over the file, the file over the defaults. Unknown keys are an error; all errors are reported at once.

${table(['key', 'environment variable', 'default', 'meaning'], rows)}
`;
}

const pages: Record<string, () => string> = {
  'docs/reference/errors.md': errorsPage,
  'docs/reference/run-config.md': runConfigPage,
  'docs/reference/settings.md': settingsPage,
};

const check = process.argv.includes('--check');
let stale = false;
for (const [path, render] of Object.entries(pages)) {
  const text = render();
  if (!check) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${path} is out of date: run "npm run docs".`);
    stale = true;
  }
}
process.exit(stale ? 1 : 0);
