// Every setting of the server, once: a Zod schema with its reason beside each. Values come from the
// environment (CORRAL_*), one YAML file ($CORRAL_HOME/config.yaml or CORRAL_CONFIG) and defaults, in
// that order. The only file of the server that reads settings from process.env (child-environment.ts hands
// on what is left of it).
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CorralError, engineOptionsSchema } from '@corral/contracts';
import { parse } from 'yaml';
import { z } from 'zod';
import { isLiteralHost } from './net/address-guard.ts';
import { remoteEngineSchema } from './engines/remote/remote-settings.ts';
import type { RemoteEngineSettings } from './engines/remote/remote-settings.ts';

const mebibyte = 1024 * 1024;
const engine = engineOptionsSchema.shape;

const endpoint = z.url({ protocol: /^https?$/ }).optional();
/** The variable of a setting that has another name than its key: one that other tools know, too. */
const byVariable = <T extends z.ZodType>(environment: string, schema: T): T =>
  schema.meta({ environment });

/** Bytes, or a string such as "12GiB". */
const memory = z.union([
  z.literal('auto'),
  z.int().positive(),
  z.string().regex(/^\d+(\.\d+)?\s*(MiB|GiB|MB|GB)$/),
]);
/** In the environment a list is JSON. */
const parseIfText = (value: unknown): unknown => {
  try {
    return typeof value === 'string' ? JSON.parse(value) : value;
  } catch {
    return value;
  }
};
const splitNames = (text: string): string[] => text.split(',').filter((name) => name !== '');

const configSchema = z.strictObject({
  home: z
    .string()
    .min(1)
    .describe('Folder of all state; the file, which lies in it, cannot name it.'),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on; loopback unless you say otherwise.'),
  port: z.int().min(0).max(65_535).default(7788).describe('TCP port; 0 takes any free one.'),
  database: z
    .strictObject({
      url: z
        .string()
        .regex(/^postgres(ql)?:\/\//)
        .optional()
        .describe('A Postgres to use instead of the embedded one; DATABASE_URL works too.'),
      driver: z
        .enum(['auto', 'external', 'embedded', 'pglite'])
        .default('auto')
        .describe(
          'auto: the URL when given, else the embedded Postgres, else PGlite with a warning.',
        ),
      pool: z.int().min(2).max(1000).default(10).describe('Connections held to Postgres.'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
        .default('info')
        .describe('Least severe line that is written to $CORRAL_HOME/logs.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      body_bytes: z
        .int()
        .min(1024)
        .default(32 * mebibyte)
        .describe('Largest JSON body; a context of 128k tokens with tools stays far below it.'),
      file_bytes: z
        .int()
        .min(1)
        .default(8 * 1024 * mebibyte)
        .describe('Largest uploaded file. It is streamed, so this bounds disk, not memory.'),
      requests_per_key: z
        .int()
        .min(1)
        .default(256)
        .describe('Generations one key may have waiting or running at a time.'),
    })
    .prefault({}),
  engine: z
    .strictObject({
      n_ctx: engine.n_ctx.describe('Tokens a sequence can hold.'),
      n_seq_max: engine.n_seq_max.describe('Sequences decoded side by side.'),
      n_kv: engine.n_kv.describe(
        'Tokens that all sequences hold together, in one cache; 0: n_ctx each, or less where memory is short.',
      ),
      n_batch: engine.n_batch.describe('Tokens of one prefill step.'),
      n_threads: engine.n_threads.describe('0: physical cores, minus one when cores are shared.'),
      prefix_cache_bytes: engine.prefix_cache_bytes.describe(
        'Keys and values kept for prompts that begin alike, for each base; 0: none.',
      ),
      speculation: engine.speculation.describe('Prompt look-up decoding; auto: while it pays.'),
      adapter_batching: engine.adapter_batching.describe(
        'How streams of different adapters share a step; auto: what a self-test at start allows.',
      ),
    })
    .prefault({}),
  serving: z
    .strictObject({
      memory_limit: memory
        .default('auto')
        .describe(
          'Memory for all loaded models, bytes or "12GiB"; auto: three quarters of what is free at the start.',
        ),
      child_memory_limit: memory
        .default('auto')
        .describe('A model whose process takes more is restarted; auto: memory_limit.'),
      idle_unload_seconds: z
        .number()
        .min(0)
        .max(31_536_000)
        .default(1800)
        .describe('A model that nobody asked for this long is unloaded; 0: never.'),
      wait_seconds: z
        .number()
        .min(0)
        .max(3600)
        .default(60)
        .describe('A request waits this long for memory for its model; then it is overloaded.'),
      pinned: z
        .union([z.array(z.string().min(1)), z.string().transform(splitNames)])
        .default([])
        .describe('Models that are loaded at the start and stay; in the environment with commas.'),
      max_adapters: z
        .int()
        .min(1)
        .max(10_000)
        .default(128)
        .describe('Adapters a model holds; the longest unused make place for others.'),
      max_waiting: z
        .int()
        .min(0)
        .max(100_000)
        .default(64)
        .describe('Requests of one project that may wait for one model beside those that run.'),
      prefix_cache_on_disk: z
        .enum(['off', 'on'])
        .default('off')
        .describe(
          'on: kept prompts outlive their process, up to engine.prefix_cache_bytes for each base in $CORRAL_HOME/cache/prefixes; what they said can be read there.',
        ),
    })
    .prefault({}),
  engines: z
    .preprocess(parseIfText, z.array(remoteEngineSchema).max(1000))
    .default([])
    .describe(
      "Models on other servers of OpenAI's contract: id, type, base_url, model, api_key_env and more (docs/guides/serving.md).",
    ),
  training: z
    .strictObject({
      concurrency: z
        .int()
        .min(1)
        .max(64)
        .default(1)
        .describe('Runs at a time on this machine; one already uses every core.'),
      attempts: z
        .int()
        .min(1)
        .max(100)
        .default(3)
        .describe('Times a run is started again from its checkpoint after its process died.'),
      lease_seconds: z
        .int()
        .min(2)
        .max(3600)
        .default(30)
        .describe('A run whose server has been silent for this long may be taken by another.'),
    })
    .prefault({}),
  sources: z
    .strictObject({
      hugging_face_endpoint: byVariable('HF_ENDPOINT', endpoint).describe(
        'A mirror of the Hugging Face hub, https://huggingface.co.',
      ),
      hugging_face_token: byVariable('HF_TOKEN', z.string().optional()).describe(
        'Sent to that host only; gated repositories need it.',
      ),
      modelscope_endpoint: byVariable('CORRAL_MODELSCOPE_ENDPOINT', endpoint).describe(
        'A mirror of ModelScope, https://www.modelscope.cn.',
      ),
      pypi_endpoint: byVariable('CORRAL_PYPI_ENDPOINT', endpoint).describe(
        'A mirror of PyPI, https://pypi.org.',
      ),
      trusted_hosts: z
        .union([z.array(z.url({ protocol: /^https?$/ })), z.string().transform(splitNames)])
        .default([])
        .describe(
          'Further addresses (https://host:port) that downloads may be sent on to although they are not public.',
        ),
    })
    .prefault({}),
  shutdown_seconds: z
    .number()
    .min(0)
    .max(3600)
    .default(10)
    .describe('Time that running requests get to end when the server stops.'),
});
export type Config = Omit<z.output<typeof configSchema>, 'engines'> & {
  readonly engines: readonly RemoteEngineSettings[];
};
export type ConfigInput = z.input<typeof configSchema>;

export interface Setting {
  /** Key in the YAML file, dotted. */
  readonly key: string;
  readonly environment: string;
  readonly description: string;
  /** Undefined when there is none. */
  readonly default: unknown;
}

/** Every setting, for documentation and for reading the environment. */
export const settings: readonly Setting[] = leaves(configSchema, []).map(({ path, schema }) => ({
  key: path.join('.'),
  environment: variableOf(path, schema),
  description: schema.description ?? '',
  default: path.join('.') === 'home' ? '~/.corral' : defaultOf(schema),
}));

export interface ConfigSource {
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Win over everything: command line flags, tests. */
  readonly overrides?: Partial<ConfigInput>;
}

/** Reads, merges and checks the whole configuration. Throws `config_invalid` with all errors at once. */
export function loadConfig({
  environment = process.env,
  overrides = {},
}: ConfigSource = {}): Config {
  const home = resolve(overrides.home ?? environment['CORRAL_HOME'] ?? join(homedir(), '.corral'));
  const merged = merge(
    merge(readYaml(home, environment['CORRAL_CONFIG']), readEnvironment(environment)),
    { ...overrides, home },
  );
  const parsed = configSchema.safeParse(merged);
  if (!parsed.success) {
    const details = parsed.error.issues
      .map((issue) => `  ${issue.path.join('.') || '(root)'}: ${issue.message}`)
      .join('\n');
    throw new CorralError('config_invalid', { params: { details } });
  }
  return { ...parsed.data, engines: withKeys(parsed.data.engines, environment) };
}

/** The keys of other servers, which only the environment holds. Throws `config_invalid`. */
function withKeys(
  engines: z.output<typeof configSchema>['engines'],
  environment: Readonly<Record<string, string | undefined>>,
): RemoteEngineSettings[] {
  const problems: string[] = [];
  const complete = engines.map((engine, i) => {
    const { id, api_key_env: name, base_url, private_network } = engine;
    const apiKey = name === undefined ? null : (environment[name] ?? '');
    const { protocol, hostname } = new URL(base_url);
    if (apiKey === '')
      problems.push(`  engines.${i}.api_key_env: the environment has no "${name}"`);
    if (engines.findIndex((other) => other.id === id) !== i)
      problems.push(`  engines.${i}.id: "${id}" is there twice`);
    if (apiKey !== null && protocol === 'http:' && !isLiteralHost(hostname) && !private_network)
      problems.push(
        `  engines.${i}.base_url: a key is sent in the clear; use https, or say private_network: true`,
      );
    return { ...engine, apiKey };
  });
  if (problems.length > 0)
    throw new CorralError('config_invalid', { params: { details: problems.join('\n') } });
  return complete;
}

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function merge(below: Tree, above: Tree): Tree {
  const result: Tree = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (value === undefined) continue;
    const under = result[key];
    result[key] = isTree(value) && isTree(under) ? merge(under, value) : value;
  }
  return result;
}

function readYaml(home: string, named: string | undefined): Tree {
  const path = named ?? join(home, 'config.yaml');
  if (named === undefined && !existsSync(path)) return {};
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'), { maxAliasCount: 100 });
  } catch (error) {
    throw new CorralError('config_invalid', {
      params: { details: `  ${path}: ${error instanceof Error ? error.message : String(error)}` },
      cause: error,
    });
  }
  if (value === null || value === undefined) return {};
  if (!isTree(value))
    throw new CorralError('config_invalid', {
      params: { details: `  ${path}: must hold keys and values` },
    });
  return value;
}

function readEnvironment(environment: Readonly<Record<string, string | undefined>>): Tree {
  const tree: Tree = {};
  const put = (path: readonly string[], value: string | number): void => {
    let at = tree;
    for (const part of path.slice(0, -1)) {
      const next = isTree(at[part]) ? at[part] : {};
      at[part] = next;
      at = next;
    }
    at[path.at(-1) ?? ''] = value;
  };
  if (environment['DATABASE_URL']) put(['database', 'url'], environment['DATABASE_URL']);
  for (const { path, schema } of leaves(configSchema, [])) {
    const text = environment[variableOf(path, schema)];
    if (text === undefined || text === '') continue;
    // Where text is wanted, digits are text.
    put(path, schema.safeParse(text).success ? text : numeric(text));
  }
  return tree;
}

function variableOf(path: readonly string[], schema: z.ZodType): string {
  const own = schema.meta()?.['environment'];
  return typeof own === 'string' ? own : `CORRAL_${path.join('_').toUpperCase()}`;
}

const numeric = (text: string): string | number =>
  /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;

function leaves(
  schema: z.ZodType,
  path: readonly string[],
): { path: readonly string[]; schema: z.ZodType }[] {
  const inner = schema instanceof z.ZodPrefault ? (schema.unwrap() as z.ZodType) : schema;
  if (!(inner instanceof z.ZodObject)) return [{ path, schema }];
  return Object.entries(inner.shape as Record<string, z.ZodType>).flatMap(([key, child]) =>
    leaves(child, [...path, key]),
  );
}

function defaultOf(schema: z.ZodType): unknown {
  return schema instanceof z.ZodDefault ? schema.def.defaultValue : undefined;
}
