// What a person may name to pull: a catalogue alias, `hf:owner/name[@rev]`, `modelscope:owner/name[@rev]`.
// Becomes an id, terms and a list of sources to try in order; nothing is fetched here.
import { CorralError } from '@corral/contracts';
import { catalogue } from './catalogue.ts';
import type { CatalogueSource, LicenseTerms } from './catalogue.ts';

export interface ModelReference {
  /** What the model will be called. */
  readonly id: string;
  /** What was named, in one spelling: two references are the same weights exactly when these are equal. */
  readonly key: string;
  readonly license: LicenseTerms;
  readonly sources: readonly CatalogueSource[];
}

const prefixes = { hf: 'hugging_face', modelscope: 'model_scope' } as const;
const pattern = /^(hf|modelscope):([\w.-]{1,96}\/[\w.-]{1,96})(?:@([\w./-]{1,96}))?$/;

/**
 * Errors: model_not_found for what is no alias and no reference; conflict for a repository that would
 * take the name of a catalogue model, whose terms and digests are not the repository's.
 */
export function parseModelReference(ref: string): ModelReference {
  const card = catalogue.get(ref.toLowerCase());
  if (card) return { id: card.id, key: card.id, license: card.license, sources: card.sources };
  const match = pattern.exec(ref);
  const [, prefix, repository, revision = 'main'] = match ?? [];
  if ((prefix !== 'hf' && prefix !== 'modelscope') || repository === undefined) {
    throw new CorralError('model_not_found', { params: { model: ref }, param: 'ref' });
  }
  const page = prefix === 'hf' ? 'https://huggingface.co/' : 'https://www.modelscope.cn/models/';
  const id = (repository.split('/')[1] ?? repository).toLowerCase();
  if (catalogue.has(id)) {
    const reason = `"${ref}" would be called "${id}", which is a name of the catalogue; pull "${id}", or download the weights and import them under another id.`;
    throw new CorralError('conflict', { params: { reason }, param: 'ref' });
  }
  return {
    id,
    // The hubs take owner and name in any case, revisions not.
    key: `${prefix}:${repository.toLowerCase()}@${revision}`,
    // The publisher's page is the terms as far as we know; whoever names a repository has chosen it.
    license: { id: 'see-source', url: `${page}${repository}`, needsAcceptance: false },
    sources: [{ kind: prefixes[prefix], repository, revision, file: null }],
  };
}
