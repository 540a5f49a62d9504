// A new fine-tuning job from a request: everything that can be refused at once is, before anything is
// written.
import {
  CorralError,
  newId,
  type CreateFineTuningJob,
  type TrainingMethod,
} from '@corral/contracts';
import type { Insertable } from 'kysely';
import { auditFrom, type AuditLog } from '../../audit/audit-log.ts';
import type { Db, Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { JobQueue } from '../../jobs/queue.ts';
import type { AccessService } from '../access/index.ts';
import type { FilesService } from '../files/index.ts';
import type { ModelsPort, TrainableBase } from '../models/index.ts';
import { jobStore, type JobRow } from './fine-tuning-store.ts';
import type { FineTuningJobsTable } from './fine-tuning-tables.ts';
import { resultOf } from './job-method.ts';
import { addEvent } from './job-moves.ts';
import { mapRunConfig, type MappedRun } from './run-config-mapping.ts';
import { requireDataEnding } from './run-folder.ts';
import { trainingQueue } from './training-runner.ts';

export interface CreationDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly queue: Pick<JobQueue, 'enqueue'>;
  readonly files: Pick<FilesService, 'get'>;
  readonly models: Pick<ModelsPort, 'resolveBase'>;
  readonly access: Pick<AccessService, 'projectName'>;
}

const suffixPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Commits the job with its queue entry, its events and whatever `record` writes. */
export async function createJob(
  deps: CreationDependencies,
  context: RequestContext,
  request: CreateFineTuningJob,
  record: (tx: Tx, id: string) => Promise<void>,
): Promise<JobRow> {
  const { db, audit, queue, models, access } = deps;
  const { projectId } = context;
  refuseUnsupported(request);
  const base = await models.resolveBase(db, projectId, request.model);
  if (base.unservable !== null)
    // Hours of training would end at a proof that cannot be made.
    throw new CorralError('model_unsupported', {
      params: { path: base.id, reason: base.unservable },
      param: 'model',
    });
  await checkFile(deps, projectId, request.training_file, 'training_file');
  if (request.validation_file)
    await checkFile(deps, projectId, request.validation_file, 'validation_file');
  const mapped = mapRunConfig(request, base.defaults);
  refuseWholeFromAdapter(base, mapped.config.method);
  const project = { id: projectId, name: await access.projectName(projectId) };
  return db.transaction().execute(async (tx) => {
    const row = await jobStore.insert(tx, newRow(request, { base, mapped, project }));
    const { id, model, base_sha256, training_file, validation_file, config } = row;
    await record(tx, id);
    await addEvent(tx, id, {
      level: 'info',
      message: `Created fine-tuning job: ${id}`,
      data: {},
    });
    await queue.enqueue(tx, trainingQueue, { key: id, payload: { job: id } });
    await audit.append(tx, {
      ...auditFrom(context),
      action: 'fine_tuning_job.created',
      resource: { kind: 'fine_tuning_job', id },
      outcome: 'ok',
      before: null,
      after: { model, base_sha256, training_file, validation_file, config: { ...config } },
    });
    return row;
  });
}

function newRow(
  request: CreateFineTuningJob,
  from: { base: TrainableBase; mapped: MappedRun; project: { id: string; name: string } },
): Insertable<FineTuningJobsTable> {
  const { base, mapped, project } = from;
  const id = newId('job');
  return {
    id,
    project_id: project.id,
    model: base.id,
    base_sha256: base.sha256,
    training_file: request.training_file,
    validation_file: request.validation_file ?? null,
    suffix: request.suffix ?? null,
    seed: mapped.config.train.seed,
    metadata: request.metadata ? JSON.stringify(request.metadata) : null,
    hyperparameters: JSON.stringify(mapped.hyperparameters),
    config: JSON.stringify(mapped.config),
    status: 'validating_files',
    error: null,
    // As OpenAI names them: ft:<base>:<project>:<suffix>:<random>, also where an earlier one goes on.
    adapter_id: `ft:${base.root}:${project.name}:${request.suffix ?? ''}:${id.slice(-8)}`,
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
  };
}

const invalid = (param: string, reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param });

/** Every weight can be trained of a model that has them; an adapter has none but its own. */
function refuseWholeFromAdapter({ id, base, init }: TrainableBase, method: TrainingMethod): void {
  if (init === null || resultOf(method) === 'adapter') return;
  const reason = `"${id}" is an adapter, and method "${method}" trains every weight: export it merged (corral export) and import that, or give its base "${base}".`;
  throw invalid('model', reason);
}

function refuseUnsupported(request: CreateFineTuningJob): void {
  const { suffix } = request;
  if (suffix && !suffixPattern.test(suffix))
    throw invalid(
      'suffix',
      `The suffix "${suffix}" may hold letters, digits, ".", "_" and "-" only.`,
    );
  const integrations = request['integrations'] ?? [];
  if (!Array.isArray(integrations) || integrations.length > 0)
    throw new CorralError('unsupported_parameter', {
      params: { param: 'integrations', reason: 'this server reports to nobody else' },
      param: 'integrations',
    });
}

async function checkFile(
  { files }: CreationDependencies,
  project: string,
  id: string,
  param: string,
): Promise<void> {
  const { purpose, filename } = await files.get(project, id).catch((error: unknown) => {
    if (!CorralError.isInstance(error) || error.code !== 'not_found') throw error;
    throw invalid(param, `There is no file "${id}".`);
  });
  if (purpose !== 'fine-tune')
    throw invalid(param, `The file "${id}" has the purpose "${purpose}"; "fine-tune" is needed.`);
  requireDataEnding(filename, param);
}
