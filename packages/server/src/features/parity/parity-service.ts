// The parity check as others ask for it: a finished run before its adapter becomes a model, and a person
// who wants a model checked again. Finds the files and the engine; the comparison is parity-check.ts.
import { readFile, stat } from 'node:fs/promises';
import { CorralError, goldenSchema } from '@corral/contracts';
import type { Golden, Operation } from '@corral/contracts';
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { hashFile } from '../models/index.ts';
import type { ModelsService, ParityPort, ParitySubject } from '../models/index.ts';
import type { OperationService } from '../operations/index.ts';
import { replayGolden } from './parity-check.ts';

export interface ParityService extends ParityPort {
  /** Checks a registered model again and keeps the certificate. */
  recheck(context: RequestContext, id: string): Promise<Operation>;
}

/** Sixteen transcripts with lists of 64 log-probabilities a token take a few MB at most. */
const maxGoldenBytes = 64 * 2 ** 20;

async function readGolden(path: string): Promise<Golden> {
  const refuse = (reason: string, cause?: unknown): CorralError =>
    new CorralError('model_file_invalid', { params: { path, reason }, cause });
  const { size } = await stat(path).catch((error: unknown) => {
    throw refuse('the golden transcripts are missing', error);
  });
  if (size > maxGoldenBytes) throw refuse(`${size} bytes are too many for golden transcripts`);
  try {
    return goldenSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw refuse('these are no golden transcripts', error);
  }
}

export function createParityService(deps: {
  db: Db;
  engines: Pick<Engines, 'engine'>;
  models: Pick<ModelsService, 'get' | 'recordParity'>;
  operations: OperationService;
}): ParityService {
  const { db, engines, models, operations } = deps;

  const engineOf = async (project: string, subject: ParitySubject) => {
    if (subject.kind === 'model') {
      const { id, ggufPath: modelPath, format } = subject;
      const engine = engines.engine({ id, modelPath });
      // What it was trained on is in the transcripts; what serves is the model itself.
      return { engine, adapter: null, servingFormat: format, baseSha256: null };
    }
    const base = await models.get(db, project, subject.base);
    if (base.serving_path === null || base.serving_format === null) {
      const reason = 'it has no file to serve';
      throw new CorralError('model_unsupported', { params: { path: base.id, reason } });
    }
    return {
      engine: engines.engine({ id: base.id, modelPath: base.serving_path }),
      adapter: { id: await hashFile(subject.ggufPath), path: subject.ggufPath },
      servingFormat: base.serving_format,
      baseSha256: base.sha256,
    };
  };

  const check: ParityPort['check'] = async ({ project, subject, goldenPath, signal }) => {
    const golden = await readGolden(goldenPath);
    const { baseSha256, ...serving } = await engineOf(project, subject);
    const otherBase = baseSha256 !== null && golden.base.sha256 !== baseSha256;
    return replayGolden({ ...serving, golden, otherBase, signal });
  };

  return {
    check,
    async recheck(context, id) {
      const model = await models.get(db, context.projectId, id);
      const {
        base,
        serving_path: ggufPath,
        serving_format: format,
        golden_path: goldenPath,
      } = model;
      if (ggufPath === null || goldenPath === null || format === null) {
        const reason = `"${id}" has no golden transcripts: only fine-tuned models can be checked.`;
        throw new CorralError('invalid_request', { params: { reason }, param: 'id' });
      }
      const subject: ParitySubject =
        base === null
          ? { kind: 'model', id, ggufPath, format }
          : { kind: 'adapter', base, ggufPath };
      return operations.begin(context, {
        kind: 'parity',
        key: id,
        run: async (report, signal) => {
          report('Replaying the golden transcripts.');
          const project = context.projectId;
          const parity = await check({ project, subject, goldenPath, signal });
          await models.recordParity(context, id, parity);
          return { model: id, parity };
        },
      });
    },
  };
}
