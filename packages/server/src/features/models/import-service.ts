// How weights become a base model: pulled from a source or imported from a path, checked, stored under
// their digest, re-encoded for serving when their format is slow, and only then a row with its audit
// event. One place for all ways in.
import { rename, rm, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CorralError } from '@corral/contracts';
import type { Operation, ServingForm } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Db } from '../../db/database.ts';
import { formatBytes } from '../../download/disk-space.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { OperationReport, OperationService } from '../operations/index.ts';
import { catalogue } from './catalogue.ts';
import { discardFetched, fetchWeights } from './fetch-weights.ts';
import type { FetchedWeights, FetchOptions, SourceAttempt } from './fetch-weights.ts';
import { hashFolder, inspectGguf, inspectWeights } from './inspect-weights.ts';
import type { WeightFacts } from './inspect-weights.ts';
import { parseModelReference } from './model-reference.ts';
import type { ModelReference } from './model-reference.ts';
import type { LicenseTerms } from './catalogue.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow } from './models-store.ts';
import { requireOperator } from './models-service.ts';
import { servingBytes, servingFormOf, servingNote } from './serving-format.ts';
import { hashFile } from './weight-store.ts';
import type { StoredWeights, WeightStore } from './weight-store.ts';

export interface ImportService {
  /** Throws permission_denied, model_not_found, conflict and license_not_accepted at once; the rest is in the operation. */
  pull(
    context: RequestContext,
    input: { ref: string; acceptLicense: boolean; servingForm?: ServingForm | undefined },
  ): Promise<Operation>;
  /** Throws for what is no model at once; copying, hashing and re-encoding are in the operation. */
  import(
    context: RequestContext,
    input: { path: string; id?: string | undefined; servingForm?: ServingForm | undefined },
  ): Promise<Operation>;
}

export interface ImportDependencies {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly operations: OperationService;
  readonly engines: Pick<Engines, 'quantise'>;
  readonly weights: WeightStore;
  readonly fetching: Pick<FetchOptions, 'client' | 'sources' | 'shippedRoot' | 'measureFreeBytes'>;
  readonly now?: () => Date;
}

/** Weights in their final place, with all that a row says of them. */
interface Arrived {
  readonly id: string;
  readonly source: string;
  readonly reference: string | null;
  readonly license: { id: string; url: string | null };
  /** A person said yes to the terms; null: nobody had to. */
  readonly licenseAccepted: boolean | null;
  readonly facts: WeightFacts;
  readonly stored: StoredWeights;
  readonly serving: ServingWeights;
}

interface ServingWeights extends StoredWeights {
  readonly format: string;
}

const idPattern = /^[A-Za-z0-9][\w.-]{0,127}$/;

/** A name that can stand in a URL and in `ft:` ids, from a file's name. */
const idFromPath = (path: string): string =>
  basename(path)
    .replace(/\.gguf$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'model';

const rowOf = (arrived: Arrived, now: Date): ModelRow => {
  const { id, source, reference, license, facts, stored, serving } = arrived;
  return {
    id,
    project: null,
    kind: 'base',
    base: null,
    owned_by: catalogue.get(id)?.publisher ?? source.toLowerCase().replaceAll(' ', '-'),
    license,
    source,
    reference,
    architecture: facts.architecture,
    parameters: facts.parameters,
    context_length: facts.contextLength,
    format: facts.format,
    serving_format: serving.format,
    bytes: stored.bytes,
    sha256: stored.sha256,
    path: stored.path,
    serving_sha256: serving.sha256,
    serving_path: serving.path,
    job_id: null,
    derived_from: null,
    golden_path: null,
    parity: null,
    created_at: now,
  };
};

const resultOf = (row: ModelRow, failed: readonly SourceAttempt[]): Record<string, unknown> => ({
  model: row.id,
  source: row.source,
  bytes: row.bytes,
  sha256: row.sha256,
  format: row.format,
  serving_format: row.serving_format,
  servable: row.serving_path !== null,
  note: servingNote(row),
  /** Sources that were passed over, and why. */
  attempts: failed,
});

interface Work {
  readonly report: OperationReport;
  readonly signal: AbortSignal;
  readonly servingForm: ServingForm | undefined;
}

/** Both are kept: training reads the original, the engine the re-encoded file. */
async function encodeForServing(
  { weights, engines }: ImportDependencies,
  { facts, stored }: { facts: WeightFacts; stored: StoredWeights },
  { report, signal, servingForm }: Work,
): Promise<ServingWeights> {
  const { format, parameters } = facts;
  const form = servingFormOf(facts, servingForm);
  if (form === null) return { ...stored, format };
  const name = form.toUpperCase();
  const target = weights.servingPath(stored.sha256, name);
  const bytes = servingBytes(parameters, form);
  await weights.ensureRoom(bytes, `the ${name} copy for serving`);
  const what = `Writing the ${name} file for serving (${formatBytes(bytes)}) from ${format}.`;
  report(what);
  const part = `${target}.part`;
  try {
    await engines.quantise({
      source: stored.path,
      target: part,
      ftype: form,
      signal,
      onProgress: (done, total) =>
        report(what, { done: (bytes * done) / total, total: bytes, rate: null }),
    });
    await inspectGguf(part);
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
  return { path: target, format: name, ...(await describeFile(target, signal)) };
}

type Settled = Pick<Arrived, 'facts' | 'stored' | 'serving'>;

/** Fetched weights are checked, moved to their place and made ready to serve. */
async function settle(
  deps: ImportDependencies,
  fetched: FetchedWeights,
  work: Work,
): Promise<Settled> {
  work.report('Checking the weights.');
  let inspected = false;
  try {
    const facts = await inspectWeights(fetched.path);
    inspected = true;
    const stored =
      fetched.kind === 'folder'
        ? await describeFolder(fetched.path, facts, work.signal)
        : fetched.shipped
          ? await deps.weights.copyIn(fetched.path, work.signal)
          : await deps.weights.adopt(fetched.path, fetched.sha256);
    return { facts, stored, serving: await encodeForServing(deps, { facts, stored }, work) };
  } catch (error) {
    // Refused weights are not kept; weights that arrived before the disk filled up are, and so is a folder
    // that only serving refuses.
    const refused = CorralError.isInstance(error) && error.code.startsWith('model_');
    if (refused && !(inspected && fetched.kind === 'folder')) {
      await discardFetched(fetched);
    }
    throw error;
  }
}

async function record(
  { db, audit, now = () => new Date() }: ImportDependencies,
  context: RequestContext,
  { action, arrived }: { action: 'model.pulled' | 'model.imported'; arrived: Arrived },
): Promise<ModelRow> {
  const row = rowOf(arrived, now());
  const { id, sha256, bytes, format, serving_format, serving_sha256, source, license } = row;
  await db.transaction().execute(async (tx) => {
    if (await modelsStore.exists(tx, id)) throw taken(id);
    await modelsStore.insert(tx, row);
    await audit.append(tx, {
      ...auditFrom(context),
      action,
      resource: { kind: 'model', id },
      outcome: 'ok',
      before: null,
      after: {
        sha256,
        bytes,
        format,
        serving_format,
        serving_sha256,
        source,
        license,
        license_accepted: arrived.licenseAccepted,
      },
    });
  });
  return row;
}

async function pull(
  deps: ImportDependencies,
  context: RequestContext,
  {
    reference,
    known,
    work,
  }: { reference: ModelReference; known: ModelRow | undefined; work: Work },
): Promise<Record<string, unknown>> {
  if (known) return { ...resultOf(known, []), already: true };
  const { id, key, license } = reference;
  const fetched = await fetchWeights({
    ...deps.fetching,
    reference,
    weights: deps.weights,
    signal: work.signal,
    onProgress: (message, progress) => {
      if (progress === null) work.report(message);
      else {
        const { bytes: done, total, bytes_per_second: rate } = progress;
        work.report(message, { done, total, rate });
      }
    },
  });
  const settled = await settle(deps, fetched, work);
  const terms = { id: license.id, url: license.url };
  const licenseAccepted = license.needsAcceptance ? true : null;
  const { source } = fetched;
  const arrived = { id, source, reference: key, license: terms, licenseAccepted, ...settled };
  const row = await record(deps, context, { action: 'model.pulled', arrived });
  return resultOf(row, fetched.failed);
}

async function importPath(
  deps: ImportDependencies,
  context: RequestContext,
  { path, id, facts, work }: { path: string; id: string; facts: WeightFacts; work: Work },
): Promise<Record<string, unknown>> {
  work.report(`Reading ${formatBytes(facts.bytes)}.`);
  const stored =
    facts.kind === 'folder'
      ? await describeFolder(path, facts, work.signal)
      : await deps.weights.copyIn(path, work.signal);
  const serving = await encodeForServing(deps, { facts, stored }, work);
  const license = { id: facts.license ?? 'see-source', url: null };
  const from = { source: 'import', reference: null, license, licenseAccepted: null };
  const arrived = { id, ...from, facts, stored, serving };
  return resultOf(await record(deps, context, { action: 'model.imported', arrived }), []);
}

export function createImportService(deps: ImportDependencies): ImportService {
  const { db, operations } = deps;
  return {
    async pull(context, { ref, acceptLicense, servingForm }) {
      requireOperator(context);
      const reference = parseModelReference(ref);
      const known = await modelsStore.find(db, context.projectId, reference.id);
      if (known) requireSameWeights(known, reference);
      else requireLicense(reference.id, reference.license, acceptLicense);
      return operations.begin(context, {
        kind: 'model_pull',
        key: reference.key,
        run: (report, signal) =>
          pull(deps, context, { reference, known, work: { report, signal, servingForm } }),
      });
    },

    async import(context, { path, id: wanted, servingForm }) {
      requireOperator(context);
      const id = wanted ?? idFromPath(path);
      requireFreeName(id, wanted !== undefined);
      const facts = await inspectWeights(path);
      if (await modelsStore.exists(db, id)) throw taken(id);
      return operations.begin(context, {
        kind: 'model_import',
        key: id,
        run: (report, signal) =>
          importPath(deps, context, { path, id, facts, work: { report, signal, servingForm } }),
      });
    },
  };
}

function requireFreeName(id: string, chosen: boolean): void {
  if (!idPattern.test(id)) {
    const reason = `"${id}" cannot be a model's id: letters, digits, ".", "_" and "-" only.`;
    throw new CorralError('invalid_request', { params: { reason }, param: 'id' });
  }
  if (catalogue.has(id) && !chosen) {
    const reason = `"${id}" is a name of the catalogue; give another id.`;
    throw new CorralError('conflict', { params: { reason } });
  }
}

const taken = (id: string): CorralError =>
  new CorralError('conflict', { params: { reason: `There already is a model "${id}".` } });

/** Whoever asks for one repository's weights must not be given another's that has the same name. */
function requireSameWeights({ id, source, reference }: ModelRow, wanted: ModelReference): void {
  // A catalogue name may have been given to weights by the operator, who imported them.
  if (reference === wanted.key || wanted.key === id) return;
  const there = reference ?? source;
  const reason = `There already is a model "${id}", from ${there}, not ${wanted.key}; remove it first, or import the other weights under an id of their own.`;
  throw new CorralError('conflict', { params: { reason }, param: 'ref' });
}

function requireLicense(id: string, license: LicenseTerms, accepted: boolean): void {
  if (!license.needsAcceptance || accepted) return;
  throw new CorralError('license_not_accepted', {
    params: { license: license.id, model: id, url: license.url ?? '' },
  });
}

async function describeFile(path: string, signal: AbortSignal) {
  const [sha256, { size: bytes }] = await Promise.all([hashFile(path, signal), stat(path)]);
  return { sha256, bytes };
}

/** A folder stays where it is; its manifest's digest says whether it changed. */
async function describeFolder(path: string, facts: WeightFacts, signal: AbortSignal) {
  return { path, bytes: facts.bytes, sha256: await hashFolder(path, signal) };
}
