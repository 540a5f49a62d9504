// What a finished run made, as a model: an adapter of its base, or a model of its own that can be served, deployed and
// trained on like any base, but answers to its name only with a passed certificate. Its line is on record.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import type { AuditInput, AuditLog } from '../../audit/audit-log.ts';
import type { Executor, Tx } from '../../db/database.ts';
import { remoteIdOf } from '../../engines/remote/remote-settings.ts';
import { catalogue } from './catalogue.ts';
import { inspectGguf, inspectWeights } from './inspect-weights.ts';
import type { TrainableBase, TrainedModel, TrainedResult, WholeResult } from './models-port.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow } from './models-store.ts';
import { unservableReason } from './serving-format.ts';
import { hashFile } from './weight-store.ts';
import type { WeightStore } from './weight-store.ts';

/** Made here by a job: it has a certificate, or none and no name. */
export const isTrained = ({ job_id }: Pick<ModelRow, 'job_id'>): boolean => job_id !== null;

/** The form that is served: what a folder becomes when it is imported, too. */
const servedFile = 'model-q8_0.gguf';
const weightFiles = /\.(safetensors|safetensors\.index\.json)$/;

/** SHA-256 over digests and names of the weights' files, one a line, as `sha256sum` writes it. */
async function hashWeights(folder: string, signal: AbortSignal): Promise<string> {
  const manifest = createHash('sha256');
  for (const name of (await readdir(folder)).toSorted())
    if (weightFiles.test(name))
      manifest.update(`${await hashFile(join(folder, name), signal)}  ${name}\n`);
  return manifest.digest('hex');
}

/** The GGUF of a run's output becomes a file of the store; both are the same bytes on disk. */
export async function takeInTrained(
  weights: WeightStore,
  folder: string,
  signal: AbortSignal,
): Promise<WholeResult> {
  const facts = await inspectWeights(folder);
  const served = await inspectGguf(join(folder, servedFile));
  const gguf = await weights.linkIn(join(folder, servedFile), signal);
  const { bytes, format, parameters } = facts;
  return {
    kind: 'model',
    weights: { sha256: await hashWeights(folder, signal), bytes, format, parameters },
    gguf: { ...gguf, format: served.format },
  };
}

type ResultColumns = Pick<
  ModelRow,
  | 'kind'
  | 'base'
  | 'parameters'
  | 'format'
  | 'serving_format'
  | 'bytes'
  | 'sha256'
  | 'serving_sha256'
  | 'serving_path'
>;

function columnsOf(result: TrainedResult, parent: ModelRow): ResultColumns {
  const { gguf } = result;
  const serving = { serving_sha256: gguf.sha256, serving_path: gguf.path };
  if (result.kind === 'adapter')
    return {
      kind: 'adapter',
      base: parent.base ?? parent.id,
      parameters: parent.parameters,
      format: 'LoRA',
      serving_format: parent.serving_format,
      bytes: gguf.bytes,
      sha256: gguf.sha256,
      ...serving,
    };
  const { format, ...weights } = result.weights;
  return {
    kind: 'base',
    base: null,
    ...weights,
    format,
    serving_format: result.gguf.format,
    ...serving,
  };
}

/** The model of a run, from the row of what it was trained on. */
export const trainedRow = (
  { id, project, jobId, result, folder, goldenPath, parity }: TrainedModel,
  parent: ModelRow,
  now: Date,
): ModelRow => ({
  id,
  project,
  ...columnsOf(result, parent),
  derived_from: parent.id,
  owned_by: project,
  // The terms of a model follow its derivatives.
  license: parent.license,
  source: 'fine-tuning',
  reference: null,
  architecture: parent.architecture,
  context_length: parent.context_length,
  path: folder,
  job_id: jobId,
  golden_path: goldenPath,
  parity,
  created_at: now,
});

/** Inserts the row with its audit event. */
export async function registerTrained(
  audit: AuditLog,
  tx: Tx,
  {
    row,
    parent,
    from,
  }: {
    row: ModelRow;
    parent: ModelRow;
    from: Pick<AuditInput, 'actor' | 'project' | 'request_id'>;
  },
): Promise<void> {
  await modelsStore.insert(tx, row);
  const base = row.base === null ? parent : await modelsStore.findAnywhere(tx, row.base);
  await audit.append(tx, {
    ...from,
    action: 'model.registered',
    resource: { kind: 'model', id: row.id },
    outcome: 'ok',
    before: null,
    after: {
      kind: row.kind,
      sha256: row.sha256,
      bytes: row.bytes,
      serving_sha256: row.serving_sha256,
      job: row.job_id,
      base: base?.id ?? null,
      base_sha256: base?.sha256 ?? null,
      serving_base_sha256: row.base === null ? null : (base?.serving_sha256 ?? null),
      derived_from: parent.id,
      derived_from_sha256: parent.sha256,
      license: row.license,
      parity: row.parity,
    },
  });
}

const plainDefaults: TrainableBase['defaults'] = {};

/** Ids of jobs' models name where their line begins: `ft:<root>:…`. */
const rootOf = (id: string): string => /^ft:([^:]+):/.exec(id)?.[1] ?? id;

const refuse = (reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param: 'model' });

/** `row` as something to train on. Throws `invalid_request`. */
export async function trainableOf(
  executor: Executor,
  project: string,
  row: ModelRow,
): Promise<TrainableBase> {
  const { id } = row;
  if (remoteIdOf(row.path) !== null)
    throw refuse(`"${id}" runs on another server; training needs the weights here.`);
  if (isTrained(row) && row.parity?.passed !== true)
    throw refuse(`"${id}" has no passed parity check: what it would go on from is not proven.`);
  const base = row.base === null ? row : await modelsStore.find(executor, project, row.base);
  if (base === undefined) throw refuse(`The base of "${id}" is gone.`);
  const root = rootOf(base.id);
  return {
    id,
    base: base.id,
    root,
    trainingPath: base.path,
    sha256: base.sha256,
    init: row.kind === 'adapter' ? row.path : null,
    unservable: unservableReason(base),
    defaults: catalogue.get(root)?.defaults ?? plainDefaults,
  };
}
