// A request for text, from name to answers: which model, may it be asked this, with how much room, and
// under which guard the answers leave. Knows engines and policy; not HTTP, not OpenAI's shapes.
import { CorralError } from '@corral/contracts';
import type { PolicyNotice, Prompt, PromptMessage } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { Engine } from '../../engines/engine.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { DeploymentsService, ServedModel } from '../deployments/index.ts';
import { seedFor } from './chat-request.ts';
import type { GenerationSettings } from './chat-request.ts';
import { isIntervention, noticesOf } from './content-policy.ts';
import type { ContentPolicy, PolicyDecision } from './content-policy.ts';
import type { FingerprintStore } from './fingerprint-store.ts';
import { guardGeneration } from './guarded-generation.ts';
import type { GuardedEvent } from './guarded-generation.ts';
import type { KeyLimiter } from './key-limiter.ts';

export type Asked =
  | { readonly kind: 'messages'; readonly messages: readonly PromptMessage[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

export interface GatewayRequest {
  readonly model: string;
  readonly asked: Asked;
  readonly settings: GenerationSettings;
}

/** Accepted, not yet generating: reading a choice starts it. */
export interface Answering {
  readonly served: ServedModel;
  readonly fingerprint: string;
  /** Of the request; those of the answers come with their ends. */
  readonly inputNotices: readonly PolicyNotice[];
  /** One an answer. */
  readonly choices: readonly AsyncIterable<GuardedEvent>[];
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
    request: { model: string; messages: readonly PromptMessage[] },
  ): Promise<{ text: string; tokens: readonly number[] }>;
}

export interface GatewayDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly engines: Pick<Engines, 'engine'>;
  readonly deployments: Pick<DeploymentsService, 'resolve'>;
  readonly policy: ContentPolicy;
  readonly fingerprints: FingerprintStore;
  readonly limiter: KeyLimiter;
}

/** Names and places; no text, and nothing that is in the pack anyway. */
const recordOf = (decision: PolicyDecision) => {
  const { action, code, category, pack, packDigest, rule, start, end } = decision;
  return { action, code, category, pack, pack_digest: packDigest, rule, start, end };
};

const toPrompt = (asked: Asked): Prompt => {
  switch (asked.kind) {
    case 'messages':
      return { kind: 'messages', messages: [...asked.messages] };
    case 'text':
      return { kind: 'text', text: asked.text };
    case 'tokens':
      return { kind: 'tokens', tokens: [...asked.tokens] };
    default:
      return asked satisfies never;
  }
};

/**
 * Roles and texts that the policy judges: contents, then the names that there are. Token ids are judged as the
 * text they stand for.
 */
async function textsOf(asked: Asked, engine: Engine): Promise<{ role: string; text: string }[]> {
  if (asked.kind === 'messages') {
    const contents = asked.messages.map(({ role, content }) => ({ role, text: content }));
    const names = named(asked.messages).map(({ role, name }) => ({ role, text: name }));
    return [...contents, ...names];
  }
  const text = asked.kind === 'text' ? asked.text : (await engine.render(toPrompt(asked))).text;
  return [{ role: 'user', text }];
}

const named = (messages: readonly PromptMessage[]): { role: string; name: string }[] =>
  messages.flatMap(({ role, name }) => (name === undefined ? [] : { role, name }));

/** The request with redactions applied. */
function withTexts(asked: Asked, texts: readonly string[]): Asked {
  if (asked.kind !== 'messages') return { kind: 'text', text: texts[0] ?? '' };
  const names = texts.slice(asked.messages.length);
  const messages = asked.messages.map((message, i) => ({
    ...message,
    content: texts[i] ?? message.content,
    ...(message.name === undefined ? {} : { name: names.shift() ?? message.name }),
  }));
  return { kind: 'messages', messages };
}

const engineOf = ({ engines }: GatewayDependencies, { base }: ServedModel): Engine =>
  engines.engine({ id: base.id, modelPath: base.serving_path });

/** Redactions, refusals and stops go into the evidence log; annotations are only shown. */
async function recordDecisions(
  { db, audit, policy }: GatewayDependencies,
  context: RequestContext,
  about: { model: string; side: 'input' | 'output'; decisions: readonly PolicyDecision[] },
): Promise<void> {
  const interventions = about.decisions.filter(isIntervention);
  if (interventions.length === 0) return;
  await db.transaction().execute((tx) =>
    audit.append(tx, {
      ...auditFrom(context),
      action: `policy.${about.side}_intervened`,
      resource: { kind: 'model', id: about.model },
      outcome: interventions.some(({ action }) => action !== 'redact') ? 'refused' : 'ok',
      before: null,
      after: { policy_digest: policy.digest, decisions: interventions.map(recordOf) },
    }),
  );
}

/** Throws content_blocked; else the request as it may be asked, and what to tell of it. */
async function judge(
  deps: GatewayDependencies,
  context: RequestContext,
  { served, asked }: { served: ServedModel; asked: Asked },
): Promise<{ asked: Asked; notices: PolicyNotice[] }> {
  const judgement = deps.policy.judgeInput(await textsOf(asked, engineOf(deps, served)));
  const { action, decisions, texts } = judgement;
  await recordDecisions(deps, context, { model: served.model.id, side: 'input', decisions });
  const notices = noticesOf(decisions);
  if (action === 'refuse') {
    // A rule that ends answers refuses requests.
    const refusal = notices.find((notice) => ['refuse', 'stop'].includes(notice.action));
    const { pack = '', rule = '', category = '' } = refusal ?? {};
    throw new CorralError('content_blocked', {
      params: { pack, rule, category },
      param: asked.kind === 'messages' ? 'messages' : 'prompt',
      details: { policy: notices },
    });
  }
  return { asked: action === 'redact' ? withTexts(asked, texts) : asked, notices };
}

interface Generating {
  readonly served: ServedModel;
  readonly prompt: Prompt;
  readonly settings: GenerationSettings;
  readonly maxTokens: number;
  readonly signal: AbortSignal;
}

/** One answer; it begins to generate when it is read. */
async function* generateOne(
  deps: GatewayDependencies,
  context: RequestContext,
  work: Generating & { readonly choice: number },
): AsyncGenerator<GuardedEvent> {
  const { served, prompt, settings, maxTokens, signal, choice } = work;
  const engine = engineOf(deps, served);
  const { seed, ...sampling } = settings.sampling;
  const ownSeed = seedFor(seed, choice);
  const release = deps.limiter.take(context.actor.id);
  try {
    const events = engine.generate(
      {
        tenant: context.projectId,
        adapter: served.adapter,
        prompt,
        sampling: { ...sampling, ...(ownSeed === undefined ? {} : { seed: ownSeed }) },
        maxTokens,
        stop: settings.stop,
        topLogprobs: settings.topLogprobs,
        ignoreEos: settings.ignoreEos,
      },
      signal,
    );
    const countPrompt = async (): Promise<number> => (await engine.render(prompt)).tokens.length;
    for await (const event of guardGeneration(events, deps.policy.guardOutput(), countPrompt)) {
      if (event.kind === 'end') {
        // On record before the caller has it: an answer that ends is an answer accounted for.
        const { decisions } = event;
        await recordDecisions(deps, context, { model: served.model.id, side: 'output', decisions });
      }
      yield event;
    }
  } finally {
    release();
  }
}

export function createGatewayService(deps: GatewayDependencies): GatewayService {
  const { db, deployments, policy, fingerprints } = deps;
  return {
    async answer(context, { model, asked: given, settings }, signal) {
      const served = await deployments.resolve(db, context.projectId, model);
      const engine = engineOf(deps, served);
      const { n_ctx: nCtx, build } = await engine.info();
      await refuseOversized(engine, given, nCtx);
      const { asked, notices } = await judge(deps, context, { served, asked: given });
      const prompt = toPrompt(asked);
      const maxTokens = settings.maxTokens ?? (await roomAfter(engine, prompt, nCtx));
      const fingerprint = await fingerprints.remember(context.projectId, {
        model: served.model.id,
        base: served.base.id,
        base_sha256: served.base.serving_sha256,
        serving_format: served.base.serving_format,
        adapter_sha256: served.adapter?.id ?? null,
        engine_build: build,
        policy_digest: policy.digest,
      });
      const work = { served, prompt, settings, maxTokens, signal };
      const choices = Array.from({ length: settings.n }, (_, choice) =>
        generateOne(deps, context, { ...work, choice }),
      );
      return { served, fingerprint, inputNotices: notices, choices };
    },

    async render(context, { model, messages }) {
      const served = await deployments.resolve(db, context.projectId, model);
      return engineOf(deps, served).render({ kind: 'messages', messages: [...messages] });
    },
  };
}

/** Few texts have more characters a token. */
const usualCharactersPerToken = 8;

/**
 * Judging reads every character in this process, about a second a megabyte: what cannot fit the context is
 * refused before, by the engine, which counts no further than it must. Throws context_length_exceeded.
 */
async function refuseOversized(engine: Engine, asked: Asked, nCtx: number): Promise<void> {
  const characters =
    asked.kind === 'messages'
      ? asked.messages.reduce((sum, { content }) => sum + content.length, 0)
      : asked.kind === 'text'
        ? asked.text.length
        : 0;
  if (characters > usualCharactersPerToken * nCtx) await engine.render(toPrompt(asked));
}

/** Tokens that the context holds after the prompt. Throws context_length_exceeded when none. */
async function roomAfter(engine: Engine, prompt: Prompt, nCtx: number): Promise<number> {
  const { tokens } = await engine.render(prompt);
  if (tokens.length < nCtx) return nCtx - tokens.length;
  throw new CorralError('context_length_exceeded', {
    params: { prompt_tokens: tokens.length, max_tokens: 1, n_ctx: nCtx },
    param: 'messages',
  });
}
