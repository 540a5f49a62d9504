// What each kind of server understands beyond OpenAI's own parameters, and in which words. A table: what is
// not in it is refused by name rather than ignored.
import { createHash } from 'node:crypto';
import type { Sampling } from '@corral/contracts';
import type { DialectName } from './remote-settings.ts';

type ExtraSampling = 'top_k' | 'min_p' | 'typical_p' | 'repetition_penalty';

export interface Dialect {
  /** The server's words for sampling parameters that OpenAI does not have; sent even when neutral. */
  readonly sampling: Readonly<Partial<Record<ExtraSampling, string>>>;
  readonly ignoresEos: boolean;
  /** Prompts as token ids. */
  readonly tokenPrompts: boolean;
  /** How a prompt becomes text and token ids; null: it cannot be asked. */
  readonly render: 'llama-server' | 'vllm' | null;
  /** Its own name for a developer's message. */
  readonly developerRole: 'developer' | 'system';
  /** A template of Jinja in the request. */
  readonly chatTemplate: boolean;
  /** At least so many alternatives must be asked for to get any log-probability. */
  readonly fewestLogprobs: number;
  /** Keeps what one project asked out of what another can measure. */
  readonly cache: (options: { tenant: string; shared: boolean; wanted: boolean }) => object;
}

/** Not the project's name: the server is somebody else's. */
const saltOf = (tenant: string): string => createHash('sha256').update(tenant).digest('hex');

export const dialects: Readonly<Record<DialectName, Dialect>> = {
  openai: {
    sampling: {},
    ignoresEos: false,
    tokenPrompts: true,
    render: null,
    developerRole: 'developer',
    chatTemplate: false,
    fewestLogprobs: 0,
    cache: () => ({}),
  },
  // Source: tools/server/README.md of llama.cpp.
  'llama-server': {
    sampling: {
      top_k: 'top_k',
      min_p: 'min_p',
      typical_p: 'typical_p',
      repetition_penalty: 'repeat_penalty',
    },
    ignoresEos: true,
    tokenPrompts: true,
    render: 'llama-server',
    developerRole: 'system',
    chatTemplate: false,
    fewestLogprobs: 1,
    // Its slots know no tenants.
    cache: ({ shared, wanted }) => ({ cache_prompt: shared && wanted }),
  },
  // Source: docs.vllm.ai, "OpenAI-Compatible Server", extra parameters.
  vllm: {
    sampling: { top_k: 'top_k', min_p: 'min_p', repetition_penalty: 'repetition_penalty' },
    ignoresEos: true,
    tokenPrompts: true,
    render: 'vllm',
    developerRole: 'system',
    chatTemplate: true,
    fewestLogprobs: 0,
    cache: ({ tenant, shared }) => (shared ? {} : { cache_salt: saltOf(tenant) }),
  },
  // Source: docs.ollama.com, "OpenAI compatibility".
  ollama: {
    sampling: {},
    ignoresEos: false,
    tokenPrompts: false,
    render: null,
    developerRole: 'system',
    chatTemplate: false,
    fewestLogprobs: 0,
    cache: () => ({}),
  },
};

/** Values that change nothing. */
export const neutralSampling: Readonly<Pick<Sampling, ExtraSampling>> = {
  top_k: 0,
  min_p: 0,
  typical_p: 1,
  repetition_penalty: 1,
};
