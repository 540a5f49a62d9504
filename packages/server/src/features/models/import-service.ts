// How weights become a base model: pulled from a source or imported from a path, checked, stored under
// their digest, re-encoded for serving when their format is slow, and only then a row with its audit
// event. One place for all ways in.
import { rename, rm, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CorralError } from '@corral/contracts';
import type { Operation } from '@corral/contracts';
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
import type { LicenseTerms } from './catalogue.ts';
import { modelsStore } from './models-store.ts';
import type { ModelRow } from './models-store.ts';
import { requireOperator } from './models-service.ts';
import { q8Bytes } from './serving-format.ts';
import { hashFile } from './weight-store.ts';
import type { StoredWeights, WeightStore } from './weight-store.ts';

export interface ImportService {
  /** Throws permission_denied, model_not_found and license_not_accepted at once; the rest is in the operation. */
  pull(context: RequestContext, input: { ref: string; acceptLicense: boolean }): Promise<Operation>;
  /** Throws for what is no model at once; copying, hashing and re-encoding are in the operation. */
  import(
    context: RequestContext,
    input: { path: string; id?: string | undefined },
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
  readonly license: { id: string; url: string | null };
  readonly facts: WeightFacts;
  readonly stored: StoredWeights;
  readonly serving: StoredWeights | null;
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
  const { id, source, license, facts, stored, serving } = arrived;
  return {
    id,
    project: null,
    kind: 'base',
    base: null,
    owned_by: catalogue.get(id)?.publisher ?? source.toLowerCase().replaceAll(' ', '-'),
    license,
    source,
    architecture: facts.architecture,
    parameters: facts.parameters,
    context_length: facts.contextLength,
    format: facts.format,
    serving_format: serving === null ? null : (facts.requantiseTo ?? facts.format),
    bytes: stored.bytes,
    sha256: stored.sha256,
    path: stored.path,
    serving_sha256: serving?.sha256 ?? null,
    serving_path: serving?.path ?? null,
    job_id: null,
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
  /** Sources that were passed over, and why. */
  attempts: failed,
});

export function createImportService(deps: ImportDependencies): ImportService {
  const { db, audit, operations, engines, weights, fetching, now = () => new Date() } = deps;

  /** Both files are kept: training reads the original, the engine the re-encoded one. */
  const encodeForServing = async (
    facts: WeightFacts,
    stored: StoredWeights,
    work: { report: OperationReport; signal: AbortSignal },
  ): Promise<StoredWeights | null> => {
    if (facts.kind === 'folder') return null;
    if (facts.requantiseTo === null) return stored;
    const target = weights.servingPath(stored.sha256, facts.requantiseTo);
    const bytes = q8Bytes(facts.parameters);
    await weights.ensureRoom(bytes, `the ${facts.requantiseTo} copy for serving`);
    const { format, requantiseTo } = facts;
    work.report(
      `Re-encoding ${format} as ${requantiseTo} (${formatBytes(bytes)}), which serves faster.`,
    );
    const part = `${target}.part`;
    try {
      await engines.quantise({
        source: stored.path,
        target: part,
        ftype: 'q8_0',
        signal: work.signal,
      });
      await inspectGguf(part);
      await rename(part, target);
    } finally {
      await rm(part, { force: true });
    }
    return { path: target, ...(await describeFile(target, work.signal)) };
  };

  const record = async (
    context: RequestContext,
    action: 'model.pulled' | 'model.imported',
    arrived: Arrived,
  ): Promise<ModelRow> => {
    const row = rowOf(arrived, now());
    const { id, sha256, bytes, format, serving_format, serving_sha256, source } = row;
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
          license: row.license,
        },
      });
    });
    return row;
  };

  const settle = async (
    fetched: FetchedWeights,
    work: { report: OperationReport; signal: AbortSignal },
  ): Promise<{ facts: WeightFacts; stored: StoredWeights; serving: StoredWeights | null }> => {
    work.report('Checking the weights.');
    try {
      const facts = await inspectWeights(fetched.path);
      const stored =
        fetched.kind === 'folder'
          ? await describeFolder(fetched.path, facts, work.signal)
          : fetched.shipped
            ? { path: fetched.path, sha256: fetched.sha256, bytes: facts.bytes }
            : await weights.adopt(fetched.path, fetched.sha256);
      return { facts, stored, serving: await encodeForServing(facts, stored, work) };
    } catch (error) {
      // Refused weights are not kept; weights that arrived before the disk filled up are.
      if (CorralError.isInstance(error) && error.code.startsWith('model_')) {
        await discardFetched(fetched);
      }
      throw error;
    }
  };

  return {
    async pull(context, { ref, acceptLicense }) {
      requireOperator(context);
      const reference = parseModelReference(ref);
      const { id, license } = reference;
      const known = await modelsStore.find(db, context.projectId, id);
      if (!known) requireLicense(id, license, acceptLicense);
      return operations.begin(context, {
        kind: 'model_pull',
        key: id,
        run: async (report, signal) => {
          if (known) return { ...resultOf(known, []), already: true };
          const fetched = await fetchWeights({
            ...fetching,
            reference,
            weights,
            signal,
            onProgress: (message, progress) =>
              report(
                message,
                progress === null
                  ? undefined
                  : {
                      done: progress.bytes,
                      total: progress.total,
                      rate: progress.bytes_per_second,
                    },
              ),
          });
          const settled = await settle(fetched, { report, signal });
          const terms = { id: license.id, url: license.url };
          const arrived = { id, source: fetched.source, license: terms, ...settled };
          return resultOf(await record(context, 'model.pulled', arrived), fetched.failed);
        },
      });
    },

    async import(context, { path, id: wanted }) {
      requireOperator(context);
      const id = wanted ?? idFromPath(path);
      if (!idPattern.test(id)) {
        const reason = `"${id}" cannot be a model's id: letters, digits, ".", "_" and "-" only.`;
        throw new CorralError('invalid_request', { params: { reason }, param: 'id' });
      }
      if (catalogue.has(id) && wanted === undefined) {
        throw new CorralError('conflict', {
          params: { reason: `"${id}" is a name of the catalogue; give another id.` },
        });
      }
      const facts = await inspectWeights(path);
      if (await modelsStore.exists(db, id)) throw taken(id);
      return operations.begin(context, {
        kind: 'model_import',
        key: id,
        run: async (report, signal) => {
          report(`Reading ${formatBytes(facts.bytes)}.`);
          const stored =
            facts.kind === 'folder'
              ? await describeFolder(path, facts, signal)
              : await weights.copyIn(path, signal);
          const serving = await encodeForServing(facts, stored, { report, signal });
          const license = { id: facts.license ?? 'see-source', url: null };
          const arrived = { id, source: 'import', license, facts, stored, serving };
          return resultOf(await record(context, 'model.imported', arrived), []);
        },
      });
    },
  };
}

const taken = (id: string): CorralError =>
  new CorralError('conflict', { params: { reason: `There already is a model "${id}".` } });

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
