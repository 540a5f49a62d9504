// The model card of an exported model: a draft with a head that hubs read, what it was made from, and how it was
// trained, as the run's own card tells it.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ModelSource } from './export-source.ts';

export interface CardFacts {
  readonly name: string;
  /** safetensors dtype of the weights. */
  readonly weights: string;
  readonly adapterSha256: string | null;
  readonly notes: readonly string[];
}

/** The run's card from its figures on; '' where there is none. */
async function trainingPart(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'README.md'), 'utf8').catch(() => '');
  const start = text.indexOf('![Loss by step]');
  // run.json, which the last sentence speaks of, stays with the run.
  return start < 0 ? '' : text.slice(start).replace(/\nThe same configuration, [^\n]*\n$/, '');
}

/** A scalar of YAML; JSON's strings are such. */
const scalar = (text: string): string => (/^[\w./-]+$/.test(text) ? text : JSON.stringify(text));

export async function writeCard(
  { adapter, base, baseSha256, license }: ModelSource,
  { name, weights, adapterSha256, notes }: CardFacts,
): Promise<string> {
  const baseName = basename(base);
  const head = [
    ...(license === null ? [] : [`license: ${scalar(license.id)}`]),
    ...(license?.url ? [`license_link: ${scalar(license.url)}`] : []),
    `base_model: ${scalar(baseName)}`,
    'library_name: transformers',
    'pipeline_tag: text-generation',
  ];
  const terms =
    license === null
      ? 'Nothing here says under which terms the base model may be used: find out before you hand this on.'
      : `The terms of the base model, ${license.url === null ? license.id : `[${license.id}](${license.url})`}, hold for this model.`;
  const made =
    adapter === null
      ? `Every weight was trained. Stored as ${weights}.`
      : `A LoRA adapter was added to the weights of ${baseName}: W + scale·B·A, computed in float32 and stored as ${weights}.`;
  const facts = [
    ['base model', `${baseName}, SHA-256 \`${baseSha256}\``],
    ...(adapterSha256 === null ? [] : [['adapter', `SHA-256 \`${adapterSha256}\``]]),
  ];
  return `---
${head.join('\n')}
---

# ${name}

> Draft of a model card. Describe what the model is for and what it is not for.

${terms}

${made}

| | |
|---|---|
${(adapter === null ? [] : facts).map(([what, value]) => `| ${what} | ${value} |`).join('\n')}
${notes.map((note) => `\n${note}\n`).join('')}
${await trainingPart(adapter ?? base)}`.replace(/\n\| \| \|\n\|---\|---\|\n\n/, '\n');
}
