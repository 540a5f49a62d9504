// Stand-alone offline verifier: node verify-file.ts PATH [--key VERIFIER_KEY] [--head OLDER_HEAD_FILE]
// Imports node: builtins and this package's files, nothing else: an auditor can copy this folder to a
// machine without network and read all of it. Exit code 0 verified, 1 not verified, 2 misuse.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { verifyEvidenceFile } from './evidence-file.ts';
import type { Problem, Verification } from './evidence-types.ts';

const usage =
  'usage: node verify-file.ts PATH [--key VERIFIER_KEY] [--head OLDER_HEAD_FILE] [--json]';

const place = ({ leaf, line, bytes }: Problem): string => {
  const parts = [
    ...(leaf === undefined ? [] : [`entry ${leaf}`]),
    ...(line === undefined ? [] : [`line ${line}`]),
    ...(bytes === undefined ? [] : [`bytes ${bytes.start}-${bytes.end - 1}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
};

function report(verdict: Verification, keyKnown: boolean): string {
  if (!verdict.ok) {
    const lines = verdict.problems.map((problem) => `  ${problem.message}${place(problem)}`);
    const more = verdict.problemCount - verdict.problems.length;
    return ['NOT VERIFIED', ...lines, ...(more > 0 ? [`  and ${more} more`] : []), ''].join('\n');
  }
  const { head, kind, verifierKey } = verdict;
  const what = kind === 'proof' ? 'one entry of a log of' : 'all of';
  return [
    `VERIFIED: ${what} ${head?.size} entries`,
    `  log  ${head?.origin}`,
    `  root ${head?.root}`,
    `  key  ${verifierKey}`,
    ...(keyKnown ? [] : ['  Compare the key with one you hold from elsewhere (--key).']),
    '',
  ].join('\n');
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { key: { type: 'string' }, head: { type: 'string' }, json: { type: 'boolean' } },
  });
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) throw new Error('One PATH is needed.');
  const verdict = verifyEvidenceFile(readFileSync(path), {
    verifierKey: values.key,
    olderCheckpoint: values.head === undefined ? undefined : readFileSync(values.head, 'utf8'),
  });
  process.stdout.write(
    values.json === true
      ? `${JSON.stringify(verdict)}\n`
      : report(verdict, values.key !== undefined),
  );
  return verdict.ok ? 0 : 1;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 2;
}
