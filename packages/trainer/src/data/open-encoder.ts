// The tokenizer and chat template of a model with the choices of a run's data section: all that turns rows
// into examples. Opens no weights.
import type { RunConfig } from '@corral/contracts';
import { createChatTemplate } from './chat-template.ts';
import type { Encoder } from './encode.ts';
import { openTokenizer } from './open-tokenizer.ts';

/** Plain values: they can be sent to another thread. */
export interface EncoderOptions {
  readonly model: string;
  readonly data: Pick<RunConfig['data'], 'loss_on' | 'context_length' | 'truncate'>;
}

/** Throws CorralError for a model without a usable tokenizer. */
export async function openEncoder({ model, data }: EncoderOptions): Promise<Encoder> {
  const tokenizer = await openTokenizer(model);
  return {
    tokenizer,
    template: createChatTemplate(tokenizer.chatTemplate, tokenizer, model),
    lossOn: data.loss_on,
    contextLength: data.context_length,
    truncate: data.truncate,
  };
}
