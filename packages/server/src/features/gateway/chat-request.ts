// From OpenAI's chat request to what an engine is asked: known fields are honoured or refused by name,
// nothing is accepted and then ignored. Pure; knows no engine and no policy.
import type { ChatCompletionRequest, Prompt, ResponseFormat } from '@corral/contracts';
import { sharedSettings } from './generation-settings.ts';
import type { GenerationSettings } from './generation-settings.ts';
import { isTooDeep } from './json-depth.ts';
import { promptMessages } from './prompt-messages.ts';
import { invalid, refuseUnsupported, tooDeep, unsupported } from './request-fields.ts';
import { promptTools } from './tool-request.ts';

/** The prompt of a chat completion, or of a look at it. */
export function chatPrompt(
  body: Pick<
    ChatCompletionRequest,
    'messages' | 'tools' | 'tool_choice' | 'parallel_tool_calls' | 'functions' | 'function_call'
  > & { corral?: { chat_template?: string | undefined } | undefined },
): Prompt {
  const template = body.corral?.chat_template;
  return {
    kind: 'messages',
    messages: promptMessages(body.messages),
    ...promptTools(body),
    ...(template === undefined ? {} : { chat_template: template }),
  };
}

function responseFormat({ response_format: format }: ChatCompletionRequest): ResponseFormat | null {
  if (format === null || format === undefined) return null;
  switch (format.type) {
    case 'text':
      return null;
    case 'json_object':
      return { type: 'json_object' };
    case 'json_schema': {
      const schema = format.json_schema?.schema;
      if (isTooDeep(schema)) throw invalid('response_format.json_schema.schema', tooDeep);
      if (schema) return { type: 'json_schema', schema };
      throw invalid('response_format.json_schema.schema', 'is needed');
    }
    default:
      throw unsupported('response_format.type', 'it is "text", "json_object" or "json_schema"');
  }
}

/** Settings of a chat completion. Throws unsupported_parameter and invalid_request, each naming the field. */
export function chatSettings(body: ChatCompletionRequest): GenerationSettings {
  refuseUnsupported('chat', body);
  const { logprobs, top_logprobs: top } = body;
  if (top !== null && top !== undefined && !logprobs) {
    throw invalid('top_logprobs', 'needs "logprobs" to be true');
  }
  return sharedSettings(body, {
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
    topLogprobs: logprobs ? (top ?? 0) : null,
    responseFormat: responseFormat(body),
    echo: false,
    bestOf: body.n ?? 1,
  });
}
