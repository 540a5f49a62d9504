// What the fake server knows, and the shapes its routes share.
import {
  CorralError,
  modelDetailSchema,
  type DataReport,
  type Deployment,
  type FineTuningJob,
  type ModelDetail,
  type Operation,
} from '@corral/contracts';
import type { createFakeLog } from './evidence-log.fake.ts';

export interface FakeServerOptions {
  readonly home: string;
  /** Answers of the tuned model, by question. */
  readonly answers?: Readonly<Record<string, string>>;
  /** Error codes of pulls, by reference. */
  readonly pullFails?: Readonly<Record<string, 'download_failed' | 'license_not_accepted'>>;
  readonly dataErrors?: DataReport['errors'];
  readonly steps?: number;
  /** The job fails at this step. */
  readonly failAtStep?: number;
  readonly parityPasses?: boolean;
}

interface FakeRequest {
  readonly body: Record<string, unknown>;
  readonly query: URLSearchParams;
  /** What stood in the holes of the path. */
  readonly holes: readonly string[];
}
export type Handler = (request: FakeRequest) => unknown;

export interface FakeState {
  readonly models: Map<string, ModelDetail>;
  readonly jobs: Map<string, FineTuningJob>;
  readonly files: Map<string, string>;
  readonly deployments: Map<string, Deployment>;
  readonly operations: Map<string, Operation>;
  readonly log: ReturnType<typeof createFakeLog>;
}

export const textOr = (value: unknown, otherwise: string): string =>
  typeof value === 'string' ? value : otherwise;
export const list = (data: readonly unknown[]) => ({ object: 'list', data, has_more: false });

export const modelOf = (id: string, over: Partial<ModelDetail> = {}): ModelDetail =>
  modelDetailSchema.parse({
    id,
    object: 'model',
    created: 1_790_000_000,
    owned_by: 'fake',
    kind: 'base',
    base: null,
    license: { id: 'Apache-2.0', url: null },
    source: 'a fake source',
    parameters: 135_000_000,
    format: 'q4_1',
    serving_format: 'q8_0',
    bytes: 98_362_432,
    sha256: 'ab'.repeat(32),
    deployed: true,
    job_id: null,
    parity: null,
    ...over,
  });

export const notFound = (kind: string, id: string) =>
  new CorralError('not_found', { params: { kind, id } });
