// A configuration of a run (or of an export) from YAML (or JSON, which is YAML): every mistake at once, each with
// its line. Knows the schemas of contracts; knows nothing of paths, files or machines.
import { readFile } from 'node:fs/promises';
import {
  CorralError,
  type ExportConfig,
  type RunConfig,
  exportConfigSchema,
  runConfigSchema,
} from '@corral/contracts';
import { type Document, LineCounter, isMap, isNode, parseDocument } from 'yaml';

/** A configuration is a page; a megabyte is some other file given by mistake. */
const maxConfigBytes = 1024 * 1024;

interface ConfigProblem {
  /** One-based; null when the file has no place for it (a missing key). */
  readonly line: number | null;
  readonly key: string;
  readonly reason: string;
}

type Path = readonly PropertyKey[];

/** Where a key stands, or the nearest of its parents. */
function lineOf(document: Document, counter: LineCounter, path: Path): number | null {
  for (let depth = path.length; depth > 0; depth -= 1) {
    const parent = document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === String(key));
      const offset = isNode(pair?.key) ? pair.key.range?.[0] : undefined;
      if (offset !== undefined) return counter.linePos(offset).line;
    }
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return counter.linePos(node.range[0]).line;
  }
  return null;
}

interface SchemaIssue {
  readonly code: string;
  readonly message: string;
  readonly path: Path;
  readonly keys?: readonly string[];
  readonly errors?: readonly (readonly SchemaIssue[])[];
}

/** A union's own message is "Invalid input"; the first of its branches says more. */
const reasonOf = (issue: SchemaIssue): string => {
  if (issue.code !== 'invalid_union' || !issue.errors) return issue.message;
  const reasons = issue.errors.flatMap((branch) => branch.map(({ message }) => message));
  return [...new Set(reasons)].join('; or ');
};

function problemsOf(issue: SchemaIssue, document: Document, counter: LineCounter) {
  const places: { path: Path; reason: string }[] =
    issue.code === 'unrecognized_keys'
      ? (issue.keys ?? []).map((key) => ({ path: [...issue.path, key], reason: 'unknown key' }))
      : [{ path: issue.path, reason: reasonOf(issue) }];
  return places.map(({ path, reason }): ConfigProblem => ({
    line: lineOf(document, counter, path),
    key: path.map(String).join('.'),
    reason,
  }));
}

const invalid = (path: string, problems: readonly ConfigProblem[]): CorralError =>
  new CorralError('config_invalid', {
    params: {
      details: problems
        .toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity))
        .map(({ line, key, reason }) => {
          const place = line === null ? path : `${path}:${line}`;
          return key === '' ? `${place}: ${reason}` : `${place}: ${key}: ${reason}`;
        })
        .join('\n'),
    },
    details: { problems },
  });

/** What a schema of contracts says of a value. */
interface Checks<T> {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: T }
    | { readonly success: false; readonly error: { readonly issues: readonly unknown[] } };
}

function parseAs<T>(schema: Checks<T>, text: string, path: string): T {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const syntax = document.errors.map((error): ConfigProblem => ({
    line: counter.linePos(error.pos[0]).line,
    key: '',
    reason: error.message,
  }));
  if (syntax.length > 0) throw invalid(path, syntax);
  // A file of nested aliases can be small and mean gigabytes.
  const result = schema.safeParse(document.toJS({ maxAliasCount: 16 }) ?? {});
  if (result.success) return result.data;
  const issues = result.error.issues as readonly SchemaIssue[];
  throw invalid(
    path,
    issues.flatMap((issue) => problemsOf(issue, document, counter)),
  );
}

/** Parses and checks the text of a run's configuration. `path` is for messages. Throws `config_invalid`. */
export const parseConfig = (text: string, path: string): RunConfig =>
  parseAs(runConfigSchema, text, path);

async function readText(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new CorralError('file_not_found', { params: { path }, cause: error });
  }
  if (Buffer.byteLength(text) <= maxConfigBytes) return text;
  throw invalid(path, [
    { line: null, key: '', reason: `the file is larger than ${maxConfigBytes} bytes` },
  ]);
}

/** Reads a run's configuration. Throws CorralError `file_not_found` or `config_invalid`. */
export const loadConfig = async (path: string): Promise<RunConfig> =>
  parseConfig(await readText(path), path);

/** The same for an export. */
export const loadExportConfig = async (path: string): Promise<ExportConfig> =>
  parseAs(exportConfigSchema, await readText(path), path);
