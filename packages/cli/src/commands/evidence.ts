// `corral evidence`: the signed log of what happened: its head, a proof of one entry, a copy of it all,
// and the check of such files without any server.
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CorralError, type EvidenceHead } from '@corral/contracts';
import { bundleLine, proofFileText, verifyEvidenceFile, type Problem } from '@corral/evidence';
import type { CorralClient } from '@corral/sdk';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { allEvidence } from '../evidence-log.ts';
import { CommandError } from '../failures.ts';
import { formatFields } from '../format.ts';

async function head(context: Context): Promise<void> {
  const found = await (await connect(context)).evidence.head();
  const { dim } = context.io.colors;
  const fields = formatFields(
    [
      ['entries', String(found.size)],
      ['root', found.root],
      ['key', found.verifier_key],
    ],
    dim,
  );
  show(context, found, `${fields}\n\n${found.checkpoint.trimEnd()}`);
}

/** The last entry about a resource. */
async function lastEntryAbout(evidence: CorralClient['evidence'], id: string): Promise<number> {
  let found: number | null = null;
  for await (const { index, event } of allEvidence(evidence)) {
    const resource = event['resource'] as { id?: unknown } | undefined;
    if (resource?.id === id) found = index;
  }
  if (found !== null) return found;
  throw new CorralError('not_found', { params: { kind: 'evidence entry about', id } });
}

async function prove(context: Context, input: Input): Promise<void> {
  const { evidence } = await connect(context);
  const what = input.arg(0);
  const index = /^\d+$/.test(what) ? Number(what) : await lastEntryAbout(evidence, what);
  const proof = await evidence.proof(index);
  const output = input.text('output');
  if (output === undefined) {
    context.io.out(proofFileText(proof));
    return;
  }
  await writeFile(output, proofFileText(proof));
  show(
    context,
    { index, output: resolve(output) },
    `${context.io.colors.green('✓')} proof of entry ${index} in ${output}\n  Check it anywhere: corral evidence verify ${output}`,
  );
}

const place = ({ leaf, line, bytes }: Problem): string => {
  const parts = [
    ...(leaf === undefined ? [] : [`entry ${leaf}`]),
    ...(line === undefined ? [] : [`line ${line}`]),
    ...(bytes === undefined ? [] : [`bytes ${bytes.start} to ${bytes.end - 1}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
};

async function verify(context: Context, input: Input): Promise<void> {
  const path = input.arg(0);
  const older = input.text('head');
  const result = verifyEvidenceFile(await readFile(path), {
    verifierKey: input.text('key'),
    olderCheckpoint: older === undefined ? undefined : await readFile(older, 'utf8'),
  });
  if (!result.ok) {
    const lines = result.problems.map((problem) => `${problem.message}${place(problem)}`);
    const more = result.problemCount - result.problems.length;
    if (more > 0) lines.push(`and ${more} more`);
    throw new CorralError('evidence_invalid', {
      params: { reason: lines.join('\n') },
      details: { problems: result.problems },
    });
  }
  const { green, dim } = context.io.colors;
  const what = result.kind === 'proof' ? 'one entry of a log of' : 'all of';
  const fields = formatFields(
    [
      ['log', result.head?.origin ?? '?'],
      ['root', result.head?.root ?? '?'],
      ['key', result.verifierKey ?? '?'],
    ],
    dim,
  );
  const advice =
    input.text('key') === undefined
      ? `\n${dim('The key came from the file itself. Compare it with one you hold from elsewhere: --key.')}`
      : '';
  show(
    context,
    result,
    `${green('✓')} verified: ${what} ${result.head?.size} entries\n${fields}${advice}`,
  );
}

/** The log of `head`, a page at a time. */
async function* linesOf(
  { entries }: CorralClient['evidence'],
  { size, checkpoint, verifier_key }: EvidenceHead,
): AsyncGenerator<string> {
  yield bundleLine.first(verifier_key);
  let next = 0;
  for await (const { index, leaf } of allEvidence({ entries })) {
    if (next === size) break; // Younger than the head.
    // Other keys see the entries of their own project.
    if (index !== next) break;
    yield bundleLine.entry(leaf, index);
    next += 1;
  }
  if (next < size)
    throw new CorralError('permission_denied', { params: { scope: 'admin of the operator' } });
  yield bundleLine.last(checkpoint);
}

async function exportAll(context: Context, input: Input): Promise<void> {
  const output = input.requiredText('output');
  const { evidence } = await connect(context);
  const head = await evidence.head();
  const part = `${output}.part`;
  try {
    await writeFile(part, linesOf(evidence, head), { signal: context.signal });
    await rename(part, output);
  } catch (error) {
    await rm(part, { force: true });
    if (CorralError.isInstance(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(reason, `Choose another place than "${output}".`);
  }
  show(
    context,
    { entries: head.size, output: resolve(output) },
    `${context.io.colors.green('✓')} ${head.size} entries in ${output}\n  Check it anywhere: corral evidence verify ${output}`,
  );
}

export const evidenceCommand: CommandSpec = {
  name: 'evidence',
  summary: 'the signed log of what happened: head, proofs, export, offline check',
  examples: [
    { command: 'corral evidence export --output log.jsonl', says: 'a copy for an auditor' },
    { command: 'corral evidence verify log.jsonl', says: 'finds any changed byte, offline' },
  ],
  failure: 'The evidence could not be read.',
  subcommands: [
    {
      name: 'head',
      summary: 'show size, root and signature of the log',
      examples: [{ command: 'corral evidence head', says: 'keep it: later logs must extend it' }],
      failure: 'The head could not be read.',
      run: head,
    },
    {
      name: 'prove',
      summary: 'make a proof that an entry stands in the log',
      args: [{ name: 'ID', description: 'number of an entry, or the id of a job, model, file, …' }],
      options: [{ flags: '--output FILE', description: 'where to; else stdout' }],
      examples: [
        {
          command: 'corral evidence prove ftjob-… --output proof.json',
          says: 'of the last entry about that job',
        },
      ],
      failure: 'The proof could not be made.',
      run: prove,
    },
    {
      name: 'verify',
      summary: 'check an exported log or a proof, offline',
      args: [{ name: 'PATH', description: 'a file of "evidence export" or "evidence prove"' }],
      options: [
        { flags: '--key KEY', description: "the log's key as you know it from elsewhere" },
        { flags: '--head FILE', description: 'an older signed head that this log must extend' },
      ],
      examples: [{ command: 'corral evidence verify proof.json', says: 'needs no server' }],
      failure: 'The evidence is not to be trusted.',
      run: verify,
    },
    {
      name: 'export',
      summary: 'write the whole log into a file',
      options: [{ flags: '--output FILE', description: 'where to', required: true }],
      examples: [
        { command: 'corral evidence export --output log.jsonl', says: 'one entry a line' },
      ],
      failure: 'The log was not exported.',
      run: exportAll,
    },
  ],
};
