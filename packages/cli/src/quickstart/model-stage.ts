// Stage 2: the base model, from this machine or from the first source that answers; else the miniature
// that ships with Corral, said clearly.
import { CorralError, type ModelDetail } from '@corral/contracts';
import { waitForOperation, type CorralClient } from '@corral/sdk';
import type { Context } from '../context.ts';
import { formatBytes } from '../format.ts';
import { rehearsalModel } from '../local-models.ts';
import { describeOperation } from '../operation-progress.ts';
import type { Narrator } from './narrator.ts';

/** Reasons for which another model may stand in: the person asked for none in particular. */
const noSource = new Set(['download_failed', 'digest_mismatch']);

const findModel = async (client: CorralClient, id: string): Promise<ModelDetail | undefined> =>
  (await client.models.list()).find((model) => model.id === id);

async function pull(
  context: Context,
  client: CorralClient,
  narrator: Narrator,
  ref: string,
): Promise<ModelDetail> {
  using progress = narrator.progress();
  progress.update(`asking for ${ref}`, 0);
  const started = await client.models.pull({ ref });
  const ended = await waitForOperation(client, started, {
    signal: context.signal,
    onChange: (operation) => {
      const { text, fraction } = describeOperation(operation);
      progress.update(text, fraction);
    },
  });
  const id = ended.result?.['id'] ?? ended.result?.['model'];
  return client.models.get(typeof id === 'string' ? id : ref);
}

const describe = (model: ModelDetail): string =>
  `${model.id}, ${formatBytes(model.bytes)} from ${model.source}`;

/** @returns the base model to use, which may be `rehearsal`. @throws when a named model cannot be had. */
export async function modelStage(
  context: Context,
  client: CorralClient,
  narrator: Narrator,
  wanted: { readonly ref: string; readonly mayFallBack: boolean },
): Promise<ModelDetail> {
  narrator.stage('Base model');
  let model = await findModel(client, wanted.ref);
  if (model !== undefined) narrator.done(`${describe(model)}; already here`);
  else {
    try {
      model = await pull(context, client, narrator, wanted.ref);
    } catch (error) {
      const code = CorralError.isInstance(error) ? error.code : '';
      if (!wanted.mayFallBack || !noSource.has(code)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      narrator.warn(
        `${wanted.ref} cannot be had: ${reason}\nGoing on with "${rehearsalModel}", the miniature that ships with Corral: it knows one little town and nothing else, and shows every step. Run this again with a network for a real model.`,
      );
      model = await pull(context, client, narrator, rehearsalModel);
    }
    narrator.done(describe(model));
  }
  const serving =
    model.serving_format === model.format ? '' : `; served as ${model.serving_format}`;
  narrator.note(
    `SHA-256 ${model.sha256.slice(0, 16)}… checked, licence ${model.license.id}${serving}`,
  );
  narrator.book('model');
  return model;
}
