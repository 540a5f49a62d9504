// Fine-tuning jobs as a caller sees them: create, look, cancel, pause, resume. Every change commits together
// with its event, its audit event and the queue entry that carries it out. Training itself is the runner's.
import { CorralError, newId, type CreateFineTuningJob } from '@corral/contracts';
import { auditFrom, type AuditLog } from '../../audit/audit-log.ts';
import type { Db, Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { JobQueue } from '../../jobs/queue.ts';
import type { AccessService } from '../access/index.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort } from '../models/index.ts';
import {
  checkpointStore,
  eventStore,
  jobStore,
  type CheckpointRow,
  type EventRow,
  type JobRow,
} from './fine-tuning-store.ts';
import { addEvent, moveJob } from './job-moves.ts';
import { groupOf, isCancellable, isResumable, pauseTarget } from './job-state.ts';
import { mapRunConfig } from './run-config-mapping.ts';
import { trainingQueue, type TrainingRunner } from './training-runner.ts';

interface ListOptions {
  readonly after: string | undefined;
  readonly limit: number;
}

export interface FineTuningService {
  create(
    context: RequestContext,
    request: CreateFineTuningJob,
    record: (tx: Tx, id: string) => Promise<void>,
  ): Promise<JobRow>;
  get(project: string, id: string): Promise<JobRow>;
  list(
    project: string,
    options: ListOptions & { metadata: Readonly<Record<string, string>> | null },
  ): Promise<readonly JobRow[]>;
  cancel(context: RequestContext, id: string): Promise<JobRow>;
  pause(context: RequestContext, id: string): Promise<JobRow>;
  resume(context: RequestContext, id: string): Promise<JobRow>;
  events(project: string, id: string, options: ListOptions): Promise<readonly EventRow[]>;
  checkpoints(
    project: string,
    id: string,
    options: ListOptions,
  ): Promise<readonly (CheckpointRow & { adapter_id: string })[]>;
  counts(): Promise<{ queued: number; running: number }>;
}

export interface FineTuningDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly queue: Pick<JobQueue, 'enqueue'>;
  readonly files: Pick<FilesService, 'get'>;
  readonly models: Pick<ModelsPort, 'resolveBase'>;
  readonly access: Pick<AccessService, 'projectName'>;
  readonly runner: Pick<TrainingRunner, 'look'>;
}

const suffixPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function createFineTuningService(deps: FineTuningDependencies): FineTuningService {
  const { db, audit, queue, models, access, runner } = deps;

  const find = async (project: string, id: string): Promise<JobRow> => {
    const row = await jobStore.find(db, project, id);
    if (row === undefined) throw notFound('fine-tuning job', id);
    return row;
  };
  const enqueue = (tx: Tx, id: string): Promise<void> =>
    queue.enqueue(tx, trainingQueue, { key: id, payload: { job: id } });

  /** Locks the job and moves it; afterwards the runner looks at it. */
  const change = async (
    context: RequestContext,
    id: string,
    step: (tx: Tx, row: JobRow) => Promise<JobRow | null>,
  ): Promise<JobRow> => {
    const moved = await db.transaction().execute(async (tx) => {
      const row = await jobStore.lock(tx, context.projectId, id);
      if (row === undefined) throw notFound('fine-tuning job', id);
      const result = await step(tx, row);
      if (result === null)
        throw new CorralError('conflict', {
          params: { reason: `The job "${id}" is ${row.status}; that cannot be done now.` },
        });
      return result;
    });
    await runner.look(id);
    return moved;
  };

  return {
    async create(context, request, record) {
      const { projectId } = context;
      refuseUnsupported(request);
      const base = await models.resolveBase(db, projectId, request.model);
      await trainingFile(deps, projectId, request.training_file, 'training_file');
      if (request.validation_file)
        await trainingFile(deps, projectId, request.validation_file, 'validation_file');
      const { config, hyperparameters } = mapRunConfig(request, base.defaults);
      const id = newId('job');
      const project = await access.projectName(projectId);
      return db.transaction().execute(async (tx) => {
        const row = await jobStore.insert(tx, {
          id,
          project_id: projectId,
          model: base.id,
          base_sha256: base.sha256,
          training_file: request.training_file,
          validation_file: request.validation_file ?? null,
          suffix: request.suffix ?? null,
          seed: config.train.seed,
          metadata: request.metadata ? JSON.stringify(request.metadata) : null,
          hyperparameters: JSON.stringify(hyperparameters),
          config: JSON.stringify(config),
          status: 'validating_files',
          error: null,
          adapter_id: adapterName(base.id, project, request.suffix ?? '', id),
          result_files: '[]',
          trained_tokens: null,
          figures: null,
          parity: null,
          created_at: new Date(),
          finished_at: null,
          estimated_finish: null,
          trained_at: null,
          attempts: 0,
          lease_owner: null,
          lease_token: 0,
          lease_expires_at: null,
        });
        await record(tx, id);
        await addEvent(tx, id, {
          level: 'info',
          message: `Created fine-tuning job: ${id}`,
          data: {},
        });
        await enqueue(tx, id);
        await audit.append(tx, {
          ...auditFrom(context),
          action: 'fine_tuning_job.created',
          resource: { kind: 'fine_tuning_job', id },
          outcome: 'ok',
          before: null,
          after: {
            model: base.id,
            base_sha256: base.sha256,
            training_file: request.training_file,
            validation_file: request.validation_file ?? null,
            config: { ...config },
          },
        });
        return row;
      });
    },
    get: find,
    async list(project, { after, limit, metadata }) {
      const cursor = after === undefined ? null : (await find(project, after)).sequence;
      return jobStore.list(db, { project, after: cursor, limit, metadata });
    },
    cancel: (context, id) =>
      change(context, id, async (tx, row) =>
        isCancellable(row.status)
          ? moveJob(tx, audit, row, {
              to: 'cancelled',
              message: 'The job was cancelled',
              from: auditFrom(context),
            })
          : null,
      ),
    pause: (context, id) =>
      change(context, id, async (tx, row) => {
        const to = pauseTarget(row.status);
        if (to === null) return null;
        const message =
          to === 'paused' ? 'The job is paused' : 'Pausing: the trainer writes a checkpoint';
        return moveJob(tx, audit, row, { to, message, from: auditFrom(context) });
      }),
    resume: (context, id) =>
      change(context, id, async (tx, row) => {
        if (!isResumable(row.status)) return null;
        await enqueue(tx, id);
        // Data already seen to be good is not read again.
        const to = row.figures === null ? 'validating_files' : 'queued';
        return moveJob(tx, audit, row, { to, message: 'Resuming', from: auditFrom(context) });
      }),
    async events(project, id, { after, limit }) {
      await find(project, id);
      const cursor = after === undefined ? null : await eventStore.find(db, id, after);
      if (cursor === undefined) throw notFound('event', after ?? '');
      return eventStore.list(db, id, { after: cursor?.sequence ?? null, limit });
    },
    async checkpoints(project, id, { after, limit }) {
      const { adapter_id } = await find(project, id);
      const cursor = after === undefined ? null : await checkpointStore.find(db, id, after);
      if (cursor === undefined) throw notFound('checkpoint', after ?? '');
      const rows = await checkpointStore.list(db, id, { after: cursor?.sequence ?? null, limit });
      return rows.map((row) => ({ ...row, adapter_id }));
    },
    async counts() {
      const total = { queued: 0, running: 0 };
      for (const [status, count] of await jobStore.countByStatus(db)) {
        const group = groupOf(status);
        if (group !== null) total[group] += count;
      }
      return total;
    },
  };
}

/** `ft:<base>:<project>:<suffix>:<random>`, as OpenAI names them. */
const adapterName = (base: string, project: string, suffix: string, job: string): string =>
  `ft:${base}:${project}:${suffix}:${job.slice(-8)}`;

const notFound = (kind: string, id: string): CorralError =>
  new CorralError('not_found', { params: { kind, id } });

function refuseUnsupported(request: CreateFineTuningJob): void {
  if (request.suffix && !suffixPattern.test(request.suffix))
    throw new CorralError('invalid_request', {
      params: {
        reason: `The suffix "${request.suffix}" may hold letters, digits, ".", "_" and "-" only.`,
      },
      param: 'suffix',
    });
  const integrations = request['integrations'];
  if (integrations !== undefined && integrations !== null && !isEmptyList(integrations))
    throw new CorralError('unsupported_parameter', {
      params: { param: 'integrations', reason: 'this server reports to nobody else' },
      param: 'integrations',
    });
}
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

async function trainingFile(
  { files }: FineTuningDependencies,
  project: string,
  id: string,
  param: string,
): Promise<void> {
  const refuse = (reason: string): CorralError =>
    new CorralError('invalid_request', { params: { reason }, param });
  try {
    const { purpose } = await files.get(project, id);
    if (purpose !== 'fine-tune')
      throw refuse(`The file "${id}" has the purpose "${purpose}"; "fine-tune" is needed.`);
  } catch (error) {
    if (CorralError.isInstance(error) && error.code === 'not_found')
      throw refuse(`There is no file "${id}".`);
    throw error;
  }
}
