// What is to be exported and what it stands on: an adapter with its base, or a whole model. Says whose terms
// follow, and refuses a base that the adapter was not trained on.
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CorralError, type ExportConfig } from '@corral/contracts';
import { metadataString, openFileSource, readGguf } from '@corral/formats';
import { resolveInput } from '../config/resolve-config.ts';
import { withCodes } from '../format-errors.ts';
import { type RunRecord, readRunRecord } from '../output/run-record.ts';

export interface ModelSource {
  /** Null: `base` is the whole model. */
  readonly adapter: string | null;
  /** Folder or GGUF file, absolute. */
  readonly base: string;
  readonly isFolder: boolean;
  readonly baseSha256: string;
  /** Of the run that left the folder, if one did. */
  readonly record: RunRecord | null;
  readonly license: { readonly id: string; readonly url: string | null } | null;
  readonly notes: readonly string[];
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const invalid = (path: string, reason: string): CorralError =>
  new CorralError('model_file_invalid', { params: { path, reason } });

/** Where the adapter's base is, by request, by the run's record, by adapter_config.json. */
async function findBase(
  { base, source }: Pick<ExportConfig, 'base' | 'source'>,
  record: RunRecord | null,
): Promise<string> {
  if (base !== undefined) return resolve(base);
  const recorded = record?.config.model.path;
  if (recorded !== undefined && (await exists(recorded))) return recorded;
  const reason =
    recorded === undefined
      ? 'nothing here says what it was trained on: name its base (--base PATH)'
      : `its base is not at "${recorded}" any more: name it (--base PATH)`;
  throw invalid(source, reason);
}

const short = (sha256: string): string => `${sha256.slice(0, 12)}…`;

/** Says nothing where it is the same; a note where another was accepted; throws otherwise. */
function compareBase(
  base: { readonly path: string; readonly sha256: string },
  expected: string | undefined,
  accept: boolean,
): string[] {
  if (expected === undefined)
    return ['Nothing says which bytes the adapter was trained on; the base fits by its shapes.'];
  if (expected === base.sha256) return [];
  const reason = `the adapter was trained on a model with SHA-256 ${short(expected)}, and this one has ${short(base.sha256)}`;
  if (!accept)
    throw new CorralError('model_unsupported', {
      params: { path: base.path, reason: `${reason}; --other-base accepts it` },
    });
  return [`Accepted as asked: ${reason}.`];
}

/** `license: …` of a model card's head, as hubs read it. */
async function licenseOfCard(folder: string): Promise<string | null> {
  const text = await readFile(join(folder, 'README.md'), 'utf8').catch(() => '');
  const head = /^---\r?\n([\s\S]{0,20000}?)\r?\n---/.exec(text)?.[1] ?? '';
  return /^license:[ \t]*["']?([^"'\s]+)/m.exec(head)?.[1] ?? null;
}

async function licenseOf(base: string, isFolder: boolean): Promise<ModelSource['license']> {
  if (isFolder) {
    const id = await licenseOfCard(base);
    return id === null ? null : { id, url: null };
  }
  await using source = await openFileSource(base);
  const { metadata } = await readGguf(source);
  const id = metadataString(metadata, 'general.license');
  const url = metadataString(metadata, 'general.license.link') ?? null;
  return id === undefined ? null : { id, url };
}

/**
 * Looks at `source`. Throws CorralError `file_not_found`, `model_file_invalid` for a folder that holds neither
 * an adapter nor a model, `model_unsupported` for another base.
 */
export async function openSource(config: ExportConfig): Promise<ModelSource> {
  const source = resolve(config.source);
  if (!(await exists(source)))
    throw new CorralError('file_not_found', { params: { path: source } });
  const isFile = !(await stat(source)).isDirectory();
  const record = isFile ? null : await readRunRecord(source);
  const isAdapter = !isFile && (await exists(join(source, 'adapter_config.json')));
  if (!isFile && !isAdapter && !(await exists(join(source, 'config.json'))))
    throw invalid(source, 'it holds neither an adapter (adapter_config.json) nor a model');
  const base = isAdapter ? await findBase(config, record) : source;
  if (!(await exists(base))) throw new CorralError('file_not_found', { params: { path: base } });
  const { sha256 } = await resolveInput(base, source);
  const isFolder = (await stat(base)).isDirectory();
  return {
    adapter: isAdapter ? source : null,
    base,
    isFolder,
    baseSha256: sha256,
    record,
    license: config.license ?? (await withCodes(base, () => licenseOf(base, isFolder))),
    notes: isAdapter
      ? compareBase({ path: base, sha256 }, record?.config.model.sha256, config.other_base)
      : [],
  };
}
