// A request for text, from name to answers: which model, may it be asked this, with how much room, and
// under which guard the answers leave. Knows engines and policy; not HTTP, not OpenAI's shapes.
import { CorralError } from '@corral/contracts';
import type { EngineModelInfo, PolicyNotice, Prompt, RenderResult } from '@corral/contracts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { Engine } from '../../engines/engine.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { DeploymentsService, ServedModel } from '../deployments/index.ts';
import type { FingerprintStore } from './fingerprint-store.ts';
import { seedFor } from './generation-settings.ts';
import type { GenerationSettings } from './generation-settings.ts';
import { guardGeneration } from './guarded-generation.ts';
import type { GuardedEvent } from './guarded-generation.ts';
import type { KeyLimiter } from './key-limiter.ts';
import { judgePrompts, recordDecisions } from './policy-gate.ts';
import type { PolicyGateDependencies } from './policy-gate.ts';
import { charactersOf } from './prompt-texts.ts';
import { createTurns } from './turns.ts';
import type { Turns } from './turns.ts';

export interface GatewayRequest {
  readonly model: string;
  readonly prompts: readonly Prompt[];
  /** The request's field that holds the prompts. */
  readonly field: 'messages' | 'prompt';
  readonly settings: GenerationSettings;
}

/** Accepted, not yet generating: reading a choice starts it. */
export interface Answering {
  readonly served: ServedModel;
  readonly fingerprint: string;
  /** Of the request; those of the answers come with their ends. */
  readonly inputNotices: readonly PolicyNotice[];
  /** One an answer, prompt by prompt. */
  readonly choices: readonly {
    /** Position of the prompt. */
    readonly prompt: number;
    readonly events: AsyncIterable<GuardedEvent>;
  }[];
}

export interface GatewayService {
  /**
   * Throws model_not_found, model_unsupported, content_blocked, context_length_exceeded,
   * rate_limit_exceeded, engine_*; reading the choices throws overloaded and engine_failed.
   */
  answer(context: RequestContext, request: GatewayRequest, signal: AbortSignal): Promise<Answering>;
  /** The prompt as the model would see it: text and token ids. */
  render(
    context: RequestContext,
    request: { model: string; prompt: Prompt },
  ): Promise<RenderResult>;
}

export interface GatewayDependencies extends PolicyGateDependencies {
  readonly engines: Pick<Engines, 'engine'>;
  readonly deployments: Pick<DeploymentsService, 'resolve'>;
  readonly fingerprints: FingerprintStore;
  readonly limiter: KeyLimiter;
}

export const engineOf = (
  { engines }: Pick<GatewayDependencies, 'engines'>,
  { base }: ServedModel,
): Engine => engines.engine({ id: base.id, modelPath: base.serving_path });

interface Generating {
  readonly served: ServedModel;
  readonly engine: Engine;
  readonly prompt: Prompt;
  readonly settings: GenerationSettings;
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  /** Among the answers of the request. */
  readonly turns: Turns;
  /** Position among the answers of the request, for the seed. */
  readonly choice: number;
}

function generate({ engine, served, settings, choice, ...work }: Generating, tenant: string) {
  const { seed, ...sampling } = settings.sampling;
  const ownSeed = seedFor(seed, choice);
  // Answers are ranked by what the model thought of them.
  const ranked = settings.bestOf > settings.n ? 0 : null;
  return engine.generate(
    {
      tenant,
      adapter: served.adapter,
      prompt: work.prompt,
      sampling: { ...sampling, ...(ownSeed === undefined ? {} : { seed: ownSeed }) },
      maxTokens: work.maxTokens,
      stop: settings.stop,
      topLogprobs: settings.topLogprobs ?? ranked,
      ignoreEos: settings.ignoreEos,
      responseFormat: settings.responseFormat,
      echo: settings.echo,
      deadlineMs: settings.deadlineMs,
      cachePrompt: settings.cachePrompt,
    },
    work.signal,
  );
}

/** One answer; it begins to generate when it is read. */
function generateOne(
  deps: GatewayDependencies,
  context: RequestContext,
  work: Generating,
): AsyncIterable<GuardedEvent> {
  const { served, engine, prompt, settings } = work;
  return guardGeneration(generate(work, context.projectId), {
    begin: async () => {
      const next = await work.turns.take();
      try {
        const release = deps.limiter.take(context.actor.id);
        return () => {
          release();
          next();
        };
      } catch (error) {
        next();
        throw error;
      }
    },
    newGuard: () => deps.policy.guardOutput(),
    countPrompt: () => countPrompt(engine, prompt),
    json: settings.responseFormat !== null,
    logprobs: settings.topLogprobs !== null || settings.bestOf > settings.n,
    deadlineMs: settings.deadlineMs,
    // On record before the caller has it: an answer that ends is an answer accounted for.
    onEnd: ({ decisions }) =>
      recordDecisions(deps, context, { model: served.model.id, side: 'output', decisions }),
  });
}

/** Of one request. More would not be faster: engines run fewer side by side. */
const answersAtATime = 32;

/** Choices of all prompts, neighbours those of one prompt. */
async function choicesFor(
  deps: GatewayDependencies,
  context: RequestContext,
  {
    prompts,
    nCtx,
    field,
    ...work
  }: Omit<Generating, 'prompt' | 'maxTokens' | 'choice' | 'turns'> & {
    prompts: readonly Prompt[];
    nCtx: number;
    field: string;
  },
): Promise<Answering['choices']> {
  const { settings, engine } = work;
  const turns = createTurns(answersAtATime);
  const perPrompt = await Promise.all(
    prompts.map(async (prompt, position) => {
      const maxTokens = settings.maxTokens ?? (await roomAfter(engine, { prompt, nCtx, field }));
      return Array.from({ length: settings.bestOf }, (_, answer) => {
        const choice = position * settings.bestOf + answer;
        const events = generateOne(deps, context, { ...work, prompt, maxTokens, choice, turns });
        return { prompt: position, events };
      });
    }),
  );
  return perPrompt.flat();
}

export function createGatewayService(deps: GatewayDependencies): GatewayService {
  const { db, deployments, policy, fingerprints } = deps;

  const fingerprintOf = (context: RequestContext, served: ServedModel, info: EngineModelInfo) =>
    fingerprints.remember(context.projectId, {
      model: served.model.id,
      base: served.base.id,
      base_sha256: served.base.serving_sha256,
      serving_format: served.base.serving_format,
      adapter_sha256: served.adapter?.id ?? null,
      engine_build: info.build,
      policy_digest: policy.digest,
    });

  return {
    async answer(context, { model, prompts: given, field, settings }, signal) {
      const served = await deployments.resolve(db, context.projectId, model);
      const engine = engineOf(deps, served);
      const info = await engine.info();
      await refuseOversized(engine, given, info.n_ctx);
      const asking = { model: served.model.id, prompts: given, field, textOf: textFrom(engine) };
      const { prompts, notices } = await judgePrompts(deps, context, asking);
      const fingerprint = await fingerprintOf(context, served, info);
      const work = { served, engine, settings, signal, field, prompts, nCtx: info.n_ctx };
      const choices = await choicesFor(deps, context, work);
      return { served, fingerprint, inputNotices: notices, choices };
    },

    async render(context, { model, prompt }) {
      const served = await deployments.resolve(db, context.projectId, model);
      return engineOf(deps, served).render(prompt);
    },
  };
}

/** What token ids stand for. */
export const textFrom =
  (engine: Engine) =>
  async (prompt: Prompt): Promise<string> =>
    (await engine.render(prompt)).text;

/** Few texts have more characters a token. */
const usualCharactersPerToken = 8;

/**
 * Judging reads every character in this process, about a second a megabyte: what cannot fit the context is
 * refused before, by the engine, which counts no further than it must. Throws context_length_exceeded.
 */
export async function refuseOversized(
  engine: Engine,
  prompts: readonly Prompt[],
  nCtx: number,
): Promise<void> {
  for (const prompt of prompts) {
    const characters = charactersOf(prompt);
    if (characters <= usualCharactersPerToken * nCtx) continue;
    if (engine.countsTokens) await engine.render(prompt);
    else {
      const atLeast = Math.ceil(characters / usualCharactersPerToken);
      const params = { prompt_tokens: atLeast, max_tokens: 1, n_ctx: nCtx };
      throw new CorralError('context_length_exceeded', { params });
    }
  }
}

/** For answers that end before their own figures; 0 where only the answering server could count. */
const countPrompt = async (engine: Engine, prompt: Prompt): Promise<number> =>
  engine.countsTokens ? (await engine.render(prompt)).tokens.length : 0;

/** Tokens that the context holds after the prompt. Throws context_length_exceeded when none. */
async function roomAfter(
  engine: Engine,
  { prompt, nCtx, field }: { prompt: Prompt; nCtx: number; field: string },
): Promise<number> {
  // The server that answers keeps to its own context.
  if (!engine.countsTokens) return Number.POSITIVE_INFINITY;
  const { tokens } = await engine.render(prompt);
  if (tokens.length < nCtx) return nCtx - tokens.length;
  throw new CorralError('context_length_exceeded', {
    params: { prompt_tokens: tokens.length, max_tokens: 1, n_ctx: nCtx },
    param: field,
  });
}
