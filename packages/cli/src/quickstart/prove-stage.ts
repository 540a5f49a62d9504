// Stage 5: what is served is what was trained. The server replays the trainer's golden transcripts on
// the serving engine; this stage shows the figures, and asks for the replay where none was made.
import { CorralError, type Parity } from '@corral/contracts';
import { waitForOperation, type CorralClient } from '@corral/sdk';
import type { Context } from '../context.ts';
import { describeOperation } from '../operation-progress.ts';
import type { Narrator } from './narrator.ts';
import type { TunedAdapter } from './tune-stage.ts';

async function replay(
  context: Context,
  client: CorralClient,
  narrator: Narrator,
  model: string,
): Promise<Parity | null> {
  using progress = narrator.progress();
  await waitForOperation(client, await client.models.parity(model), {
    signal: context.signal,
    onChange: (operation) => progress.update(describeOperation(operation).text),
  });
  return (await client.models.get(model)).parity;
}

export async function proveStage(
  context: Context,
  client: CorralClient,
  narrator: Narrator,
  { job, model }: TunedAdapter,
): Promise<Parity> {
  narrator.stage('Prove: what is served is what was trained');
  const parity = job.corral.parity ?? (await replay(context, client, narrator, model));
  if (parity === null) {
    throw new CorralError('parity_failed', { params: { model, reason: 'no check was made' } });
  }
  const prompts = parity.prompt_tokens_equal ? 'equal' : 'NOT equal';
  const agreement = (parity.greedy_agreement * 100).toFixed(1);
  const figures = `prompt tokens ${prompts}, greedy tokens agree ${agreement} %, mean KL ${parity.mean_kl.toExponential(1)} nats`;
  if (!parity.passed) {
    throw new CorralError('parity_failed', {
      params: { model, reason: `${figures}. ${parity.first_difference?.likely_cause ?? ''}` },
    });
  }
  narrator.done(figures);
  narrator.note(
    `${parity.transcripts} transcripts (${parity.positions} tokens) of the trainer, replayed on the serving engine (${parity.serving_format})`,
  );
  narrator.book('parity');
  return parity;
}
