// What a person may name to pull: a catalogue alias, `hf:owner/name[@rev]`, `modelscope:owner/name[@rev]`.
// Becomes an id, terms and a list of sources to try in order; nothing is fetched here.
import { CorralError } from '@corral/contracts';
import { catalogue } from './catalogue.ts';
import type { CatalogueSource, LicenseTerms } from './catalogue.ts';

export interface ModelReference {
  /** What the model will be called. */
  readonly id: string;
  readonly license: LicenseTerms;
  readonly sources: readonly CatalogueSource[];
}

const prefixes = { hf: 'hugging_face', modelscope: 'model_scope' } as const;
const pattern = /^(hf|modelscope):([\w.-]{1,96}\/[\w.-]{1,96})(?:@([\w./-]{1,96}))?$/;

/** Throws model_not_found for what is no alias and no reference. */
export function parseModelReference(ref: string): ModelReference {
  const card = catalogue.get(ref.toLowerCase());
  if (card) return { id: card.id, license: card.license, sources: card.sources };
  const match = pattern.exec(ref);
  const [, prefix, repository, revision = 'main'] = match ?? [];
  if ((prefix !== 'hf' && prefix !== 'modelscope') || repository === undefined) {
    throw new CorralError('model_not_found', { params: { model: ref }, param: 'ref' });
  }
  const page = prefix === 'hf' ? 'https://huggingface.co/' : 'https://www.modelscope.cn/models/';
  return {
    id: (repository.split('/')[1] ?? repository).toLowerCase(),
    // The publisher's page is the terms as far as we know; whoever names a repository has chosen it.
    license: { id: 'see-source', url: `${page}${repository}`, needsAcceptance: false },
    sources: [{ kind: prefixes[prefix], repository, revision, file: null }],
  };
}
