// The parity check as others ask for it: a finished run before its adapter becomes a model, and a person
// who wants a model checked again. Finds the files and the engine; the comparison is parity-check.ts.
import { readFile, stat } from 'node:fs/promises';
import { CorralError, goldenSchema } from '@corral/contracts';
import type { Golden, Operation } from '@corral/contracts';
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { hashFile } from '../models/index.ts';
import type { ModelsService, ParityPort } from '../models/index.ts';
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

  const check: ParityPort['check'] = async ({
    project,
    base: baseId,
    adapter,
    goldenPath,
    signal,
  }) => {
    const base = await models.get(db, project, baseId);
    if (base.serving_path === null || base.serving_format === null) {
      const reason = 'it has no file to serve';
      throw new CorralError('model_unsupported', { params: { path: baseId, reason } });
    }
    const [golden, sha256] = await Promise.all([
      readGolden(goldenPath),
      hashFile(adapter.ggufPath),
    ]);
    return replayGolden({
      engine: engines.engine({ id: base.id, modelPath: base.serving_path }),
      adapter: { id: sha256, path: adapter.ggufPath },
      golden,
      servingFormat: base.serving_format,
      otherBase: golden.base.sha256 !== base.sha256,
      signal,
    });
  };

  return {
    check,
    async recheck(context, id) {
      const model = await models.get(db, context.projectId, id);
      const { base, serving_path: ggufPath, golden_path: goldenPath } = model;
      if (base === null || ggufPath === null || goldenPath === null) {
        const reason = `"${id}" has no golden transcripts: only fine-tuned models can be checked.`;
        throw new CorralError('invalid_request', { params: { reason }, param: 'id' });
      }
      return operations.begin(context, {
        kind: 'parity',
        key: id,
        run: async (report, signal) => {
          report('Replaying the golden transcripts.');
          const project = context.projectId;
          const parity = await check({
            project,
            base,
            adapter: { id, ggufPath },
            goldenPath,
            signal,
          });
          await models.recordParity(context, id, parity);
          return { model: id, parity };
        },
      });
    },
  };
}
