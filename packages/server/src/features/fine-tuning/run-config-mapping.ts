// From OpenAI's request to a run configuration, exactly and purely. Later wins: the schema's defaults, the
// base's recipe card, `corral.config`, OpenAI's hyper-parameters (`auto` leaves what is below). Paths are
// the server's business: a request that names one is refused.
import {
  CorralError,
  runConfigSchema,
  type CreateFineTuningJob,
  type RunConfig,
} from '@corral/contracts';
import type { TrainableBase } from '../models/index.ts';
import type { Hyperparameters, StoredRunConfig } from './fine-tuning-tables.ts';

export interface MappedRun {
  readonly config: StoredRunConfig;
  readonly hyperparameters: Hyperparameters;
}

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Sections that a request may change. */
const openSections = ['method', 'data', 'lora', 'train', 'checkpoint', 'runtime'] as const;
/** Methods that hand out an adapter on the base, which is what a deployment takes. */
const openMethods = ['lora', 'qlora'] as const;
/** Values of the run config that the trainer refuses; here they are refused before a file is read. */
const notYet: Readonly<Record<string, Readonly<Record<string, readonly [string, string]>>>> = {
  data: { format: ['preference', 'preference pairs need method dpo, which is not available'] },
};
/** Stands for the files that are known when the run starts. */
const placeholder = 'at-start';

const refuse = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });

/** Throws `unsupported_parameter` or `config_invalid`, naming the field. */
export function mapRunConfig(
  request: Pick<
    CreateFineTuningJob,
    'hyperparameters' | 'method' | 'seed' | 'corral' | 'validation_file'
  >,
  defaults: TrainableBase['defaults'],
): MappedRun {
  const overrides = readOverrides(request.corral?.config ?? {});
  const wanted = readHyperparameters(request);
  const below = merge(
    { model: placeholder, data: { train: placeholder } },
    merge(defaults, overrides),
  );
  const base = parse(below);
  const defaultRate = parse(merge({ model: placeholder, data: { train: placeholder } }, defaults))
    .train.learning_rate;
  const train: Tree = {};
  if (wanted.n_epochs !== undefined) train['epochs'] = wanted.n_epochs;
  if (wanted.batch_size !== undefined) train['batch_size'] = wanted.batch_size;
  if (wanted.learning_rate_multiplier !== undefined)
    train['learning_rate'] = defaultRate * wanted.learning_rate_multiplier;
  if (request.seed !== undefined && request.seed !== null) train['seed'] = request.seed;
  const config = parse(merge(below, { train }));
  const { model: _model, data, ...rest } = config;
  const { train: _train, ...dataRest } = data;
  return {
    config: {
      ...rest,
      data: request.validation_file ? { ...dataRest, validation: placeholder } : dataRest,
    },
    hyperparameters: {
      n_epochs: config.train.epochs,
      batch_size: config.train.batch_size,
      learning_rate_multiplier:
        wanted.learning_rate_multiplier ?? base.train.learning_rate / defaultRate,
    },
  };
}

/** The configuration of a run that starts now, with its paths. */
export function withPaths(
  { data, ...rest }: StoredRunConfig,
  paths: { model: string; train: string; validation: string | null },
): RunConfig {
  return {
    ...rest,
    model: paths.model,
    data: {
      ...data,
      train: paths.train,
      validation: paths.validation ?? data.validation,
    },
  };
}

interface Wanted {
  n_epochs?: number;
  batch_size?: number;
  learning_rate_multiplier?: number;
}

function readHyperparameters({
  hyperparameters,
  method,
}: Pick<CreateFineTuningJob, 'hyperparameters' | 'method'>): Wanted {
  if (method !== undefined && method.type !== 'supervised')
    throw refuse('method.type', `"${method.type}" is not offered; use "supervised"`);
  const given = { ...hyperparameters, ...method?.supervised?.hyperparameters };
  const wanted: Wanted = {};
  for (const name of ['n_epochs', 'batch_size', 'learning_rate_multiplier'] as const) {
    const value = given[name];
    if (typeof value === 'number') wanted[name] = value;
  }
  for (const name of Object.keys(given))
    if (!['n_epochs', 'batch_size', 'learning_rate_multiplier'].includes(name))
      throw refuse(
        `hyperparameters.${name}`,
        'it is not one of n_epochs, batch_size, learning_rate_multiplier; see corral.config',
      );
  return wanted;
}

function readOverrides(config: Tree): Tree {
  for (const [section, value] of Object.entries(config)) {
    const path = `corral.config.${section}`;
    if (!openSections.some((open) => open === section))
      throw refuse(path, `it cannot be set here; ${openSections.join(', ')} can`);
    if (section === 'method' && !openMethods.some((open) => open === value))
      throw refuse(path, `"${String(value)}" is not available here; use "lora" or "qlora"`);
    if (section !== 'method' && !isTree(value)) throw refuse(path, 'it must hold keys and values');
    if (!isTree(value)) continue;
    if ('train' in value && section === 'data') throw refuse(`${path}.train`, 'use training_file');
    for (const [key, [unavailable, reason]] of Object.entries(notYet[section] ?? {}))
      if (value[key] === unavailable) throw refuse(`${path}.${key}`, reason);
    if ('init' in value) throw refuse(`${path}.init`, 'a path on the server cannot be named');
    if (section === 'data' && typeof value['validation'] === 'string')
      throw refuse(`${path}.validation`, 'use validation_file');
  }
  return config;
}

function parse(tree: Tree): RunConfig {
  const parsed = runConfigSchema.safeParse(tree);
  if (parsed.success) return parsed.data;
  const details = parsed.error.issues
    .map(({ path, message }) => `  ${path.join('.')}: ${message}`)
    .join('\n');
  throw new CorralError('config_invalid', {
    params: { details },
    param: `corral.config.${parsed.error.issues[0]?.path.join('.') ?? ''}`,
  });
}

function merge(below: Tree, above: Tree): Tree {
  const result: Tree = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (value === undefined) continue;
    const under = result[key];
    result[key] = isTree(value) && isTree(under) ? merge(under, value) : value;
  }
  return result;
}
