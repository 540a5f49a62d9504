// /v1/files, as OpenAI has it. An upload is streamed to disk while it arrives; its fields may come before or
// after the file.
import {
  CorralError,
  fileObjectSchema,
  filePurposes,
  listQuerySchema,
  listSchema,
  type FileObject,
} from '@corral/contracts';
import fastifyMultipart from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { StagedArtifact } from '../../artifacts/artifact-store.ts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { FeatureRoutes } from '../../http/feature.ts';
import { toListPage } from '../../http/list-page.ts';
import { contextOf } from '../../http/request-context.ts';
import { unixSeconds } from '../../http/time.ts';
import type { Idempotency } from '../../idempotency/idempotency.ts';
import type { FilesService } from './files-service.ts';
import type { FileRow } from './files-store.ts';

const fileIdSchema = z.object({ file_id: z.string().max(128) });
const listFilesSchema = listQuerySchema.extend({
  purpose: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
});
const deletedSchema = z.object({
  id: z.string(),
  object: z.literal('file'),
  deleted: z.literal(true),
});

const toFileObject = (row: FileRow): FileObject => ({
  id: row.id,
  object: 'file',
  bytes: row.bytes,
  created_at: unixSeconds(row.created_at),
  filename: row.filename,
  purpose: row.purpose,
  status: 'processed',
});

const invalid = (param: string, reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param });

const multipartLimits = {
  // The size of the file is bounded where it is written, with an error that says so.
  fileSize: Number.MAX_SAFE_INTEGER,
  files: 1,
  fields: 16,
  fieldSize: 4096,
  fieldNameSize: 128,
  parts: 17,
};

interface Upload {
  readonly staged: StagedArtifact;
  readonly filename: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** Reads the whole multipart body; what it has staged is discarded when it throws. */
async function readUpload(request: FastifyRequest, files: FilesService): Promise<Upload> {
  if (!request.isMultipart())
    throw invalid('file', 'The body must be multipart/form-data with "file" and "purpose".');
  const fields = new Map<string, string>();
  let staged: StagedArtifact | null = null;
  let filename = '';
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') {
        fields.set(part.fieldname, String(part.value));
        continue;
      }
      if (part.fieldname !== 'file' || staged !== null)
        throw invalid(part.fieldname, 'Send exactly one file, in the field "file".');
      filename = part.filename;
      staged = await files.stage(part.file);
    }
    if (staged === null) throw invalid('file', 'The field "file" is missing.');
    if (staged.bytes === 0) throw invalid('file', `The file "${filename}" is empty.`);
    return { staged, filename, fields };
  } catch (error) {
    await staged?.discard();
    throw isMalformed(error) ? invalid('file', `The upload is cut off: ${error.message}.`) : error;
  }
}

/** The multipart parser's complaints about the body itself are plain errors without a code. */
const isMalformed = (error: unknown): error is Error =>
  error instanceof Error && !('code' in error);

function readPurpose(fields: ReadonlyMap<string, string>): string {
  for (const name of fields.keys())
    if (name.startsWith('expires_after'))
      throw new CorralError('unsupported_parameter', {
        params: { param: 'expires_after', reason: 'files are kept until they are deleted' },
        param: 'expires_after',
      });
  const purpose = fields.get('purpose');
  const known: readonly string[] = filePurposes;
  if (purpose === undefined) throw invalid('purpose', 'The field "purpose" is missing.');
  if (!known.includes(purpose))
    throw invalid('purpose', `"${purpose}" is no purpose; use one of ${known.join(', ')}.`);
  return purpose;
}

/** POST /v1/files. */
async function uploadFile(
  request: FastifyRequest,
  files: FilesService,
  idempotency: Idempotency,
): Promise<FileObject> {
  const context = contextOf(request);
  const { staged, filename, fields } = await readUpload(request, files);
  try {
    const purpose = readPurpose(fields);
    return await idempotency.once(request, {
      fingerprint: { purpose, filename, sha256: staged.sha256 },
      load: async (id) => toFileObject(await files.get(context.projectId, id)),
      create: async (record) =>
        toFileObject(
          await files.create(
            staged,
            { project: context.projectId, filename, purpose, from: auditFrom(context) },
            record,
          ),
        ),
    });
  } finally {
    await staged.discard();
  }
}

export const filesRoutes =
  (files: FilesService, idempotency: Idempotency): FeatureRoutes =>
  async (app) => {
    await app.register(fastifyMultipart, { limits: multipartLimits });
    const read = { scope: ['read', 'training', 'inference'] } as const;
    const write = { scope: ['training', 'inference'] } as const;

    app.post(
      '/v1/files',
      { config: write, schema: { response: { 200: fileObjectSchema } } },
      (request) => uploadFile(request, files, idempotency),
    );
    app.get(
      '/v1/files',
      {
        config: read,
        schema: { querystring: listFilesSchema, response: { 200: listSchema(fileObjectSchema) } },
      },
      async (request) => {
        const { purpose, after, limit, order } = request.query;
        const rows = await files.list({
          project: contextOf(request).projectId,
          purpose,
          after,
          limit: limit + 1,
          order,
        });
        return toListPage(rows.map(toFileObject), limit);
      },
    );
    app.get(
      '/v1/files/:file_id',
      { config: read, schema: { params: fileIdSchema, response: { 200: fileObjectSchema } } },
      async (request) =>
        toFileObject(await files.get(contextOf(request).projectId, request.params.file_id)),
    );
    app.get(
      '/v1/files/:file_id/content',
      { config: read, schema: { params: fileIdSchema } },
      async (request, reply) => {
        const row = await files.get(contextOf(request).projectId, request.params.file_id);
        return reply
          .type('application/octet-stream')
          .header('content-length', row.bytes)
          .header(
            'content-disposition',
            `attachment; filename*=UTF-8''${encodeURIComponent(row.filename)}`,
          )
          .send(files.content(row));
      },
    );
    app.delete(
      '/v1/files/:file_id',
      { config: write, schema: { params: fileIdSchema, response: { 200: deletedSchema } } },
      async (request) => {
        const { file_id: id } = request.params;
        await files.remove(contextOf(request), id);
        return { id, object: 'file' as const, deleted: true as const };
      },
    );
  };
