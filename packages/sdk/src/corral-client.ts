// The typed client of /api/v1 and of the job routes under /v1: one method a route, nothing else.
// What OpenAI's own client does well (upload, chat, streaming) is left to the `openai` package.
import {
  createdKeySchema,
  deploymentSchema,
  evidenceBundleSchema,
  evidenceEntrySchema,
  evidenceHeadSchema,
  evidenceProofSchema,
  fineTuningCheckpointSchema,
  fineTuningEventSchema,
  fineTuningJobSchema,
  keySchema,
  modelDetailSchema,
  operationSchema,
  renderedPromptSchema,
  statusSchema,
  type ApiKey,
  type CreatedKey,
  type DataReport,
  type Deployment,
  type EvidenceBundle,
  type EvidenceEntry,
  type EvidenceHead,
  type EvidenceProof,
  type ExportDtype,
  type ExportFormat,
  type FineTuningEvent,
  type FineTuningJob,
  type KeyScope,
  type ModelDetail,
  type Operation,
  type RenderRequest,
  type RenderedPrompt,
  type ServingForm,
  type ServerStatus,
  type TruncatePolicy,
} from '@corral/contracts';
import {
  CorralApiError,
  createTransport,
  type AnswerContract,
  type ClientOptions,
} from './transport.ts';

export interface PageOptions {
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
}
export interface Page<T> {
  readonly data: readonly T[];
  readonly has_more: boolean;
}
interface Checkpoint {
  readonly id: string;
  readonly step_number: number;
  readonly created_at: number;
  readonly fine_tuned_model_checkpoint: string;
}
interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

export interface CorralClient {
  readonly baseUrl: string;
  /** True when the server answers and is ready; false while it starts. @throws server_unreachable */
  health(options?: Abortable): Promise<boolean>;
  status(options?: Abortable): Promise<ServerStatus>;
  policy(): Promise<Record<string, unknown>>;
  /** The prompt of a chat completion as the model would see it; nothing is generated. */
  render(request: RenderRequest, options?: Abortable): Promise<RenderedPrompt>;
  /** The exact files, engine and policy behind an answer's `system_fingerprint`. */
  fingerprint(id: string): Promise<Record<string, unknown>>;
  readonly models: {
    list(): Promise<readonly ModelDetail[]>;
    get(id: string): Promise<ModelDetail>;
    /** `servingForm`: what the engine reads; left out, as it came where that is fast, else q8_0. */
    pull(input: {
      ref: string;
      acceptLicense?: boolean;
      servingForm?: ServingForm | undefined;
    }): Promise<Operation>;
    import(input: {
      path: string;
      id?: string | undefined;
      servingForm?: ServingForm | undefined;
    }): Promise<Operation>;
    delete(id: string): Promise<void>;
    parity(id: string): Promise<Operation>;
    /** Written on the server's machine. */
    export(
      id: string,
      input: {
        path: string;
        format: ExportFormat;
        dtype?: ExportDtype | undefined;
        form?: ServingForm | undefined;
      },
    ): Promise<Operation>;
  };
  readonly operations: { get(id: string, options?: Abortable): Promise<Operation> };
  readonly data: {
    check(input: {
      fileId: string;
      model: string;
      preview?: number;
      contextLength?: number;
      truncate?: TruncatePolicy;
    }): Promise<DataReport>;
  };
  readonly jobs: {
    list(page?: PageOptions): Promise<Page<FineTuningJob>>;
    get(id: string, options?: Abortable): Promise<FineTuningJob>;
    cancel(id: string): Promise<FineTuningJob>;
    pause(id: string): Promise<FineTuningJob>;
    resume(id: string): Promise<FineTuningJob>;
    events(id: string, page?: PageOptions & Abortable): Promise<Page<FineTuningEvent>>;
    checkpoints(id: string, page?: PageOptions): Promise<Page<Checkpoint>>;
  };
  readonly deployments: {
    list(): Promise<readonly Deployment[]>;
    create(input: { model: string; alias?: string | undefined }): Promise<Deployment>;
    rollback(name: string): Promise<Deployment>;
    delete(name: string): Promise<void>;
  };
  readonly evidence: {
    head(): Promise<EvidenceHead>;
    entries(page?: {
      after?: number | undefined;
      limit?: number;
    }): Promise<readonly EvidenceEntry[]>;
    proof(index: number): Promise<EvidenceProof>;
    export(): Promise<EvidenceBundle>;
  };
  readonly keys: {
    list(): Promise<readonly ApiKey[]>;
    create(input: {
      name: string;
      scopes?: readonly KeyScope[];
      expiresInSeconds?: number | null;
    }): Promise<CreatedKey>;
    revoke(id: string): Promise<void>;
  };
}

/** A contract for answers whose shape is a plain type, or that nobody reads. */
const trusted = <T>(): AnswerContract<T> => ({
  safeParse: (value) => ({ success: true, data: value as T }),
});

/** `{data: [...], has_more}`; each item is checked against its own contract. */
const pageOf = <T>(item: AnswerContract<T>): AnswerContract<Page<T>> => ({
  safeParse(value) {
    const { data, has_more } = (value ?? {}) as { data?: unknown; has_more?: unknown };
    if (!Array.isArray(data)) return { success: false, error: { message: 'it has no data' } };
    const items: T[] = [];
    for (const entry of data) {
      const result = item.safeParse(entry);
      if (!result.success) return result;
      items.push(result.data);
    }
    return { success: true, data: { data: items, has_more: has_more === true } };
  },
});

type Send = ReturnType<typeof createTransport>['request'];
const part = encodeURIComponent;

const modelRoutes = (send: Send): CorralClient['models'] => ({
  list: async () => (await send('/api/v1/models', { contract: pageOf(modelDetailSchema) })).data,
  get: (id) => send(`/api/v1/models/${part(id)}`, { contract: modelDetailSchema }),
  pull: ({ ref, acceptLicense = false, servingForm }) =>
    send('/api/v1/models/pull', {
      method: 'POST',
      body: { ref, accept_license: acceptLicense, serving_form: servingForm },
      contract: operationSchema,
    }),
  import: ({ servingForm, ...input }) =>
    send('/api/v1/models/import', {
      method: 'POST',
      body: { ...input, serving_form: servingForm },
      contract: operationSchema,
    }),
  delete: async (id) => {
    await send(`/api/v1/models/${part(id)}`, { method: 'DELETE', contract: trusted<unknown>() });
  },
  parity: (id) =>
    send(`/api/v1/models/${part(id)}/parity`, { method: 'POST', contract: operationSchema }),
  export: (id, body) =>
    send(`/api/v1/models/${part(id)}/export`, { method: 'POST', body, contract: operationSchema }),
});

const jobRoutes = (send: Send): CorralClient['jobs'] => {
  const at = (id: string, action = '') => `/v1/fine_tuning/jobs/${part(id)}${action}`;
  const change = (id: string, action: string) =>
    send(at(id, action), { method: 'POST', contract: fineTuningJobSchema });
  return {
    list: (page = {}) =>
      send('/v1/fine_tuning/jobs', { query: { ...page }, contract: pageOf(fineTuningJobSchema) }),
    get: (id, { signal } = {}) => send(at(id), { contract: fineTuningJobSchema, signal }),
    cancel: (id) => change(id, '/cancel'),
    pause: (id) => change(id, '/pause'),
    resume: (id) => change(id, '/resume'),
    events: (id, { signal, ...page } = {}) =>
      send(at(id, '/events'), { query: page, contract: pageOf(fineTuningEventSchema), signal }),
    checkpoints: (id, page = {}) =>
      send(at(id, '/checkpoints'), {
        query: { ...page },
        contract: pageOf(fineTuningCheckpointSchema),
      }),
  };
};

const deploymentRoutes = (send: Send): CorralClient['deployments'] => ({
  list: async () =>
    (await send('/api/v1/deployments', { contract: pageOf(deploymentSchema) })).data,
  create: (body) =>
    send('/api/v1/deployments', { method: 'POST', body, contract: deploymentSchema }),
  rollback: (name) =>
    send(`/api/v1/deployments/${part(name)}/rollback`, {
      method: 'POST',
      contract: deploymentSchema,
    }),
  delete: async (name) => {
    await send(`/api/v1/deployments/${part(name)}`, {
      method: 'DELETE',
      contract: trusted<unknown>(),
    });
  },
});

const evidenceRoutes = (send: Send): CorralClient['evidence'] => ({
  head: () => send('/api/v1/evidence/head', { contract: evidenceHeadSchema }),
  entries: async (page = {}) =>
    (
      await send('/api/v1/evidence/entries', {
        query: { ...page },
        contract: pageOf(evidenceEntrySchema),
      })
    ).data,
  proof: (index) =>
    send(`/api/v1/evidence/entries/${index}/proof`, { contract: evidenceProofSchema }),
  export: () => send('/api/v1/evidence/export', { contract: evidenceBundleSchema }),
});

const keyRoutes = (send: Send): CorralClient['keys'] => ({
  list: async () => (await send('/api/v1/keys', { contract: pageOf(keySchema) })).data,
  create: ({ name, scopes, expiresInSeconds }) =>
    send('/api/v1/keys', {
      method: 'POST',
      body: {
        name,
        ...(scopes && { scopes }),
        ...(expiresInSeconds !== undefined && { expires_in_seconds: expiresInSeconds }),
      },
      contract: createdKeySchema,
    }),
  revoke: async (id) => {
    await send(`/api/v1/keys/${part(id)}`, { method: 'DELETE', contract: trusted<unknown>() });
  },
});

/** A client of one server. Every method rejects with a CorralError and with nothing else. */
export function createCorralClient(options: ClientOptions): CorralClient {
  const { baseUrl, request: send } = createTransport(options);
  return {
    baseUrl,
    async health({ signal } = {}) {
      try {
        await send('/readyz', { contract: trusted<unknown>(), signal });
        return true;
      } catch (error) {
        // 503 means "up, but not ready yet": an answer, not a failure.
        if (error instanceof CorralApiError && error.status === 503) return false;
        throw error;
      }
    },
    status: ({ signal } = {}) => send('/api/v1/status', { contract: statusSchema, signal }),
    policy: () => send('/v1/policy', { contract: trusted<Record<string, unknown>>() }),
    render: (body, { signal } = {}) =>
      send('/api/v1/render', { method: 'POST', body, contract: renderedPromptSchema, signal }),
    fingerprint: (id) =>
      send(`/api/v1/fingerprints/${part(id)}`, { contract: trusted<Record<string, unknown>>() }),
    models: modelRoutes(send),
    operations: {
      get: (id, { signal } = {}) =>
        send(`/api/v1/operations/${part(id)}`, { contract: operationSchema, signal }),
    },
    data: {
      check: ({ fileId, model, preview = 1, contextLength, truncate }) =>
        send('/api/v1/data/check', {
          method: 'POST',
          body: {
            file_id: fileId,
            model,
            preview,
            ...(contextLength !== undefined && { context_length: contextLength }),
            ...(truncate !== undefined && { truncate }),
          },
          contract: trusted<DataReport>(),
        }),
    },
    jobs: jobRoutes(send),
    deployments: deploymentRoutes(send),
    evidence: evidenceRoutes(send),
    keys: keyRoutes(send),
  };
}
