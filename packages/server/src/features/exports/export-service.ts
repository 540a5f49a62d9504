// Models of this server in forms that others load, written to a path of this machine: by the trainer's worker, through
// llama.cpp for its mixtures. A GGUF of what was trained here is held to the same transcripts as what serves.
import { mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import {
  CorralError,
  type ExportConfigInput,
  type ExportResult,
  type Operation,
  type ServingForm,
  type exportModelSchema,
} from '@corral/contracts';
import type { z } from 'zod';
import { auditFrom, type AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import { remoteIdOf } from '../../engines/remote/remote-settings.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { Trainer } from '../fine-tuning/index.ts';
import { hashFile, isTrained, requireOperator } from '../models/index.ts';
import type { ModelRow, ModelsService, ParityPort } from '../models/index.ts';
import type { OperationReport, OperationService } from '../operations/index.ts';

type ExportRequest = z.output<typeof exportModelSchema>;

export interface ExportDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly models: Pick<ModelsService, 'get'>;
  readonly engines: Pick<Engines, 'quantise' | 'unload'>;
  readonly parity: ParityPort;
  readonly operations: Pick<OperationService, 'begin'>;
  readonly trainer: Pick<Trainer, 'export'>;
  /** For configurations of work that runs; exists. */
  readonly folder: string;
}

export interface ExportService {
  /** Throws permission_denied, model_not_found and invalid_request at once; the rest is in the operation. */
  export(context: RequestContext, id: string, request: ExportRequest): Promise<Operation>;
}

interface Work {
  readonly context: RequestContext;
  readonly row: ModelRow;
  readonly request: ExportRequest;
  readonly report: OperationReport;
  readonly signal: AbortSignal;
}

/** What the trainer's worker writes by itself. */
const directForms: ReadonlySet<ServingForm> = new Set(['f32', 'f16', 'bf16', 'q8_0']);

const phases: Readonly<Record<string, string>> = {
  'check base': 'Checking the base.',
  'write weights': 'Writing the weights.',
  'check files': 'Checking what was written.',
};

async function configOf(
  { db, models }: ExportDependencies,
  { context, row, request }: Work,
): Promise<ExportConfigInput> {
  const base = row.base === null ? row : await models.get(db, context.projectId, row.base);
  const { path: output, ...rest } = request;
  return {
    ...rest,
    source: row.path,
    ...(row.base === null ? {} : { base: base.path }),
    output,
    name: row.id,
    license: row.license,
  };
}

/** Runs the worker with a configuration that exists for as long as it takes. */
async function runWorker(
  { trainer, folder }: ExportDependencies,
  config: ExportConfigInput,
  { report, signal }: Work,
): Promise<ExportResult> {
  const place = await mkdtemp(join(folder, 'export-'));
  try {
    const path = join(place, 'export.json');
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    const onPhase = (phase: string, done: number, total: number): void => {
      const message = phases[phase] ?? phase;
      if (total > 1) report(message, { done, total, rate: null });
      else report(message);
    };
    return await trainer.export({ config: path, signal, onPhase });
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

async function requireFree(path: string): Promise<void> {
  if ((await stat(path).catch(() => null)) === null) return;
  throw new CorralError('conflict', { params: { reason: `"${path}" exists already.` } });
}

/** One of llama.cpp's mixtures, by way of a GGUF that has all digits. */
async function exportMixture(
  deps: ExportDependencies,
  { form, output, ...config }: ExportConfigInput & { form: ServingForm },
  work: Work,
): Promise<ExportResult> {
  await requireFree(output);
  const [whole, part] = [`${output}.partial-whole`, `${output}.partial-form`];
  try {
    await rm(whole, { force: true });
    const result = await runWorker(deps, { ...config, output: whole }, work);
    work.report(`Writing ${form.toUpperCase()}.`);
    const { signal } = work;
    await deps.engines.quantise({ source: whole, target: part, ftype: form, signal });
    await rename(part, output);
    const { size: bytes } = await stat(output);
    const files = { [basename(output)]: { bytes, sha256: await hashFile(output, signal) } };
    return { ...result, path: output, weights: form.toUpperCase(), bytes, files };
  } finally {
    for (const path of [whole, part]) await rm(path, { force: true });
  }
}

/** Replays the transcripts of the run on the file that was written. */
async function prove(
  { parity, engines }: ExportDependencies,
  { path, weights }: ExportResult,
  { context, row, report, signal }: Work,
): Promise<ExportResult['parity']> {
  if (row.golden_path === null || weights === null) return undefined;
  report('Replaying the golden transcripts.');
  const id = `export:${path}`;
  try {
    return await parity.check({
      project: context.projectId,
      subject: { kind: 'model', id, ggufPath: path, format: weights },
      goldenPath: row.golden_path,
      signal,
    });
  } finally {
    await engines.unload(id);
  }
}

async function run(deps: ExportDependencies, work: Work): Promise<Record<string, unknown>> {
  const { context, row, request } = work;
  const config = await configOf(deps, work);
  const { form } = request;
  const isMixture = request.format === 'gguf' && form !== undefined && !directForms.has(form);
  const written = isMixture
    ? await exportMixture(deps, { ...config, form }, work)
    : await runWorker(deps, config, work);
  const parity = request.format === 'gguf' ? await prove(deps, written, work) : undefined;
  const unproven =
    isTrained(row) && row.parity?.passed !== true
      ? ['This model did not pass its parity check when it was made.']
      : [];
  const result: ExportResult = {
    ...written,
    notes: [...written.notes, ...unproven],
    ...(parity && { parity }),
  };
  const { path, format, weights, bytes, files, adapter_sha256, base_sha256 } = result;
  await deps.db.transaction().execute((tx) =>
    deps.audit.append(tx, {
      ...auditFrom(context),
      action: 'model.exported',
      resource: { kind: 'model', id: row.id },
      outcome: 'ok',
      before: null,
      after: {
        path,
        format,
        weights,
        bytes,
        files,
        adapter_sha256,
        base_sha256,
        parity: parity ?? null,
      },
    }),
  );
  return { ...result };
}

const invalid = (param: string, reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param });

export function createExportService(deps: ExportDependencies): ExportService {
  const { db, models, operations } = deps;
  return {
    async export(context, id, request) {
      // It writes where it is told on this machine.
      requireOperator(context);
      const row = await models.get(db, context.projectId, id);
      if (!isAbsolute(request.path))
        throw invalid('path', `"${request.path}" is no absolute path on the server's machine.`);
      if (request.form !== undefined && request.format !== 'gguf')
        throw invalid('form', `A form is for format "gguf", not "${request.format}".`);
      if (remoteIdOf(row.path) !== null)
        throw invalid('model', `"${id}" runs on another server; its weights are not here.`);
      return operations.begin(context, {
        kind: 'model_export',
        key: `${id} ${request.path}`,
        run: (report, signal) => run(deps, { context, row, request, report, signal }),
      });
    },
  };
}
