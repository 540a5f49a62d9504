// Stage 7: what the log recorded, its signed head, and a proof of one entry, written to a file and
// verified from that file alone.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvidenceEntry } from '@corral/contracts';
import { proofFileText, verifyEvidenceFile } from '@corral/evidence';
import type { CorralClient } from '@corral/sdk';
import { CommandError } from '../failures.ts';
import { allEvidence } from '../evidence-log.ts';
import type { Narrator } from './narrator.ts';

export interface EvidenceSummary {
  readonly size: number;
  readonly root: string;
  readonly verified: boolean;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const actionOf = ({ event }: EvidenceEntry): string => text(event['action']);

/** `file.created, model.pulled ×2, …` in the order in which each action first stood in the log. */
export function summarizeActions(actions: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const action of actions) counts.set(action, (counts.get(action) ?? 0) + 1);
  return [...counts].map(([action, count]) => action + (count > 1 ? ` ×${count}` : '')).join(', ');
}

/** The entry worth proving: the deployment of this model, else the last about it, else the last. */
function entryToProve(entries: readonly EvidenceEntry[], model: string): EvidenceEntry | undefined {
  const about = entries.filter(({ leaf }) => leaf.includes(JSON.stringify(model)));
  return (
    about.findLast((entry) => actionOf(entry).startsWith('deployment.')) ??
    about.at(-1) ??
    entries.at(-1)
  );
}

export async function evidenceStage(
  client: CorralClient,
  narrator: Narrator,
  input: { readonly model: string; readonly home: string },
): Promise<EvidenceSummary> {
  narrator.stage('Evidence');
  const entries: EvidenceEntry[] = [];
  for await (const entry of allEvidence(client.evidence)) entries.push(entry);
  const chosen = entryToProve(entries, input.model);
  if (chosen === undefined) {
    throw new CommandError('The evidence log is empty.', 'Run "corral doctor".');
  }
  const proof = await client.evidence.proof(chosen.index);
  const path = join(input.home, 'quickstart-proof.json');
  await writeFile(path, proofFileText(proof));
  const verdict = verifyEvidenceFile(await readFile(path));
  if (!verdict.ok || verdict.head === null) {
    const reason = verdict.problems.map(({ message }) => message).join(' ');
    throw new CommandError(`The proof does not verify: ${reason}`, 'Please report this.');
  }
  const { size, root } = verdict.head;
  narrator.done(`${size} entries under one signed head, root ${root.slice(0, 16)}…`);
  narrator.note(summarizeActions(entries.map(actionOf)));
  narrator.done(`proof of entry ${chosen.index} (${actionOf(chosen)}) verified offline`);
  narrator.note(`check it yourself: npx corral evidence verify ${path}`);
  narrator.book('evidence');
  return { size, root, verified: true };
}
