// Stage 4: a fine-tuning job through the official client, followed to its end. A job of an earlier
// quickstart with the same base, data and settings is used again, or goes on where it was.
import { CorralError, type FineTuningJob } from '@corral/contracts';
import { jobError, type CorralClient } from '@corral/sdk';
import type OpenAI from 'openai';
import type { Context } from '../context.ts';
import { formatBytes, formatCount, formatLoss } from '../format.ts';
import { followJob, lossesOf, type FollowedJob, type LossPoint } from '../job-progress.ts';
import { sparkline } from '../sparkline.ts';
import type { Narrator } from './narrator.ts';
import type { TrainingSections } from './quickstart-settings.ts';

const fingerprintKey = 'corral_quickstart';

export interface TuneInput {
  readonly model: string;
  readonly fileId: string;
  readonly suffix: string;
  readonly sections: TrainingSections;
  readonly fingerprint: string;
}

export interface TunedAdapter {
  readonly job: FineTuningJob;
  readonly model: string;
  readonly losses: readonly LossPoint[];
}

/** The newest job of this fingerprint that can still be used, or null. */
async function earlierJob(
  client: CorralClient,
  fingerprint: string,
): Promise<FineTuningJob | null> {
  let after: string | undefined;
  for (;;) {
    const page = await client.jobs.list({ after, limit: 100 });
    const found = page.data.find(
      ({ metadata, status }) =>
        metadata?.[fingerprintKey] === fingerprint && status !== 'failed' && status !== 'cancelled',
    );
    if (found !== undefined) return found;
    after = page.data.at(-1)?.id;
    if (!page.has_more || after === undefined) return null;
  }
}

async function modelExists(client: CorralClient, id: string | null): Promise<boolean> {
  if (id === null) return false;
  return (await client.models.list()).some((model) => model.id === id);
}

async function createJob(openai: OpenAI, input: TuneInput): Promise<string> {
  const body = {
    model: input.model,
    training_file: input.fileId,
    suffix: input.suffix,
    metadata: { [fingerprintKey]: input.fingerprint },
    corral: { config: input.sections },
  };
  return (await openai.fineTuning.jobs.create(body)).id;
}

function tell(narrator: Narrator, { job, losses }: Omit<TunedAdapter, 'model'>, reused: boolean) {
  const { figures } = job.corral;
  const curve = sparkline(
    losses.map(({ loss }) => loss),
    32,
  );
  const validation = `validation loss ${formatLoss(figures?.loss_before)} → ${formatLoss(figures?.loss_after)}`;
  narrator.done(reused ? `${validation}; tuned before (${job.id}), used again` : validation);
  if (figures === null) return;
  const memory = figures.peak_memory_bytes ?? figures.memory_bytes;
  narrator.note(
    `training loss ${curve}  ${formatCount(figures.tokens_per_second)} tokens/s${figures.gflops === null ? '' : `, ${formatCount(figures.gflops)} GFLOP/s`}, peak memory ${formatBytes(memory)}`,
  );
}

export async function tuneStage(
  context: Context,
  clients: { readonly client: CorralClient; readonly openai: OpenAI },
  narrator: Narrator,
  input: TuneInput,
): Promise<TunedAdapter> {
  narrator.stage('Tune');
  const { client, openai } = clients;
  const earlier = await earlierJob(client, input.fingerprint);
  const gone =
    earlier?.status === 'succeeded' && !(await modelExists(client, earlier.fine_tuned_model));
  const usable = earlier === null || gone ? null : earlier;
  const reused = usable?.status === 'succeeded';
  if (usable !== null && !reused) {
    narrator.note(`job ${usable.id} was interrupted; it goes on from its last checkpoint`);
    if (usable.status === 'paused') await client.jobs.resume(usable.id);
  }
  const id = usable?.id ?? (await createJob(openai, input));
  const followed: FollowedJob = await followJob(context.io, client, id, context.signal);
  const { job } = followed;
  if (job.status !== 'succeeded') throw jobError(job);
  if (job.fine_tuned_model === null) {
    throw new CorralError('training_failed', {
      params: { reason: 'the job succeeded without a model', job: job.id },
    });
  }
  const losses = lossesOf(followed.events);
  tell(narrator, { job, losses }, reused);
  narrator.book('tune');
  return { job, model: job.fine_tuned_model, losses };
}
