// The template a prompt goes through: the model's own, or the one the request brings, which is kept for the
// next request that brings it.
import { CorralError, type Prompt } from '@corral/contracts';
import type { NativeModel } from '../llama-cpp/native-types.ts';
import { createChatTemplate, type ChatTemplate } from './chat-template.ts';
import { givenTemplateLimits } from './template-runner.ts';

const maxKept = 8;

export interface ChatTemplates {
  /** Throws CorralError `invalid_request` when the template of the request does not parse. */
  of(prompt: Prompt): ChatTemplate;
}

/** Throws CorralError `model_unsupported` when the model's own template does not parse. */
export function createChatTemplates({
  info,
  vocabulary,
}: Pick<NativeModel, 'info' | 'vocabulary'>): ChatTemplates {
  const spelling = (token: number | null): string =>
    token === null ? '' : vocabulary.spelling(token);
  const tokens = { bosToken: spelling(vocabulary.bos), eosToken: spelling(vocabulary.eos) };
  const own = createChatTemplate(info.chatTemplate, tokens);
  const given = new Map<string, ChatTemplate>();

  function create(source: string): ChatTemplate {
    try {
      return createChatTemplate(source, { ...tokens, limits: givenTemplateLimits });
    } catch (error) {
      if (!CorralError.isInstance(error)) throw error;
      const reason = `chat_template cannot be used: ${error.params['reason'] ?? ''}`;
      throw new CorralError('invalid_request', {
        params: { reason },
        param: 'chat_template',
        cause: error,
      });
    }
  }

  return {
    of: (prompt) => {
      const source = prompt.kind === 'messages' ? prompt.chat_template : undefined;
      if (source === undefined) return own;
      const template = given.get(source) ?? create(source);
      given.delete(source);
      given.set(source, template);
      const [oldest] = given.keys();
      if (given.size > maxKept && oldest !== undefined) given.delete(oldest);
      return template;
    },
  };
}
