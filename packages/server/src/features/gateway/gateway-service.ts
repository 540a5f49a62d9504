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

/** Roles and texts that the policy judges. Token ids are judged as the text they stand for. */
async function textsOf(asked: Asked, engine: Engine): Promise<{ role: string; text: string }[]> {
  if (asked.kind === 'messages') {
    return asked.messages.map(({ role, content }) => ({ role, text: content }));
  }
  const text = asked.kind === 'text' ? asked.text : (await engine.render(toPrompt(asked))).text;
  return [{ role: 'user', text }];
}

/** The request with redactions applied. */
function withTexts(asked: Asked, texts: readonly string[]): Asked {
  if (asked.kind !== 'messages') return { kind: 'text', text: texts[0] ?? '' };
  const messages = asked.messages.map((message, i) => ({
    ...message,
    content: texts[i] ?? message.content,
  }));
  return { kind: 'messages', messages };
}

export function createGatewayService(deps: GatewayDependencies): GatewayService {
  const { db, audit, engines, deployments, policy, fingerprints, limiter } = deps;

  const engineOf = ({ base }: ServedModel): Engine =>
    engines.engine({ id: base.id, modelPath: base.serving_path });

  const recordDecisions = async (
    context: RequestContext,
    served: ServedModel,
    side: 'input' | 'output',
    decisions: readonly PolicyDecision[],
  ): Promise<void> => {
    const interventions = decisions.filter(isIntervention);
    if (interventions.length === 0) return;
    await db.transaction().execute((tx) =>
      audit.append(tx, {
        ...auditFrom(context),
        action: `policy.${side}_intervened`,
        resource: { kind: 'model', id: served.model.id },
        outcome: interventions.some(({ action }) => action !== 'redact') ? 'refused' : 'ok',
        before: null,
        after: {
          policy_digest: policy.digest,
          decisions: interventions.map(recordOf),
        },
      }),
    );
  };

  const judge = async (
    context: RequestContext,
    served: ServedModel,
    asked: Asked,
  ): Promise<{ asked: Asked; notices: PolicyNotice[] }> => {
    const judgement = policy.judgeInput(await textsOf(asked, engineOf(served)));
    await recordDecisions(context, served, 'input', judgement.decisions);
    const notices = noticesOf(judgement.decisions);
    if (judgement.action === 'refuse') {
      const {
        pack = '',
        rule = '',
        category = '',
      } = notices.find(({ action }) => action === 'refuse') ?? {};
      throw new CorralError('content_blocked', {
        params: { pack, rule, category },
        param: asked.kind === 'messages' ? 'messages' : 'prompt',
        details: { policy: notices },
      });
    }
    return {
      asked: judgement.action === 'redact' ? withTexts(asked, judgement.texts) : asked,
      notices,
    };
  };

  const choose = (
    context: RequestContext,
    served: ServedModel,
    run: { prompt: Prompt; settings: GenerationSettings; maxTokens: number; signal: AbortSignal },
  ): AsyncIterable<GuardedEvent>[] => {
    const { prompt, settings, maxTokens, signal } = run;
    const engine = engineOf(served);
    const countPrompt = async (): Promise<number> => (await engine.render(prompt)).tokens.length;
    const one = async function* (choice: number): AsyncGenerator<GuardedEvent> {
      const release = limiter.take(context.actor.id);
      try {
        const { seed, ...sampling } = settings.sampling;
        const own = seedFor(seed, choice);
        const events = engine.generate(
          {
            tenant: context.projectId,
            adapter: served.adapter,
            prompt,
            sampling: { ...sampling, ...(own === undefined ? {} : { seed: own }) },
            maxTokens,
            stop: settings.stop,
            topLogprobs: settings.topLogprobs,
            ignoreEos: settings.ignoreEos,
          },
          signal,
        );
        for await (const event of guardGeneration(events, policy.guardOutput(), countPrompt)) {
          // On record before the caller has it: an answer that ends is an answer that was accounted for.
          if (event.kind === 'end')
            await recordDecisions(context, served, 'output', event.decisions);
          yield event;
        }
      } finally {
        release();
      }
    };
    return Array.from({ length: settings.n }, (_, choice) => one(choice));
  };

  return {
    async answer(context, { model, asked: given, settings }, signal) {
      const served = await deployments.resolve(db, context.projectId, model);
      const { asked, notices } = await judge(context, served, given);
      const engine = engineOf(served);
      const { n_ctx: nCtx, build } = await engine.info();
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
      const choices = choose(context, served, { prompt, settings, maxTokens, signal });
      return { served, fingerprint, inputNotices: notices, choices };
    },

    async render(context, { model, messages }) {
      const served = await deployments.resolve(db, context.projectId, model);
      return engineOf(served).render({ kind: 'messages', messages: [...messages] });
    },
  };
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
