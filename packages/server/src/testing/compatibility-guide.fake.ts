// What docs/guides/openai-compatibility.md says of each field, and what OpenAI's own client can send: the two
// that tests hold the code to.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const guide = readFileSync(
  new URL('../../../../docs/guides/openai-compatibility.md', import.meta.url),
  'utf8',
);
const require = createRequire(import.meta.url);

/** Fields and what the guide says of each, from the table under a heading; a row may name several. */
export function tableUnder(heading: string): Map<string, string> {
  const section = guide.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| (\w[\w ]*) \|/gm);
  return new Map(
    [...rows].flatMap(([, names = '', what = '']) =>
      [...names.matchAll(/\w+/g)].map(([name]): [string, string] => [name, what]),
    ),
  );
}

/** Names of the fields of an interface in the declarations of OpenAI's client. */
export function fieldsOfClient([file, name]: readonly [file: string, name: string]): string[] {
  const path = require.resolve('openai').replace(/index\.m?js$/, `resources/${file}.d.ts`);
  const source = readFileSync(path, 'utf8');
  const body = source.split(`export interface ${name} {`)[1]?.split('\n}')[0] ?? '';
  return [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, field = '']) => field);
}
