// The whole evidence log, page by page.
import type { EvidenceEntry } from '@corral/contracts';
import type { CorralClient } from '@corral/sdk';

const pageSize = 1000;

/** Every entry of the log, in order. */
export async function* allEvidence(
  evidence: Pick<CorralClient['evidence'], 'entries'>,
): AsyncGenerator<EvidenceEntry, void, void> {
  let after: number | undefined;
  for (;;) {
    const page = await evidence.entries({ after, limit: pageSize });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.index;
  }
}
