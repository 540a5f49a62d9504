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
import { rateDivisorOf, readHyperparameters, readMethod, refuse } from './job-method.ts';

export interface MappedRun {
  readonly config: StoredRunConfig;
  readonly hyperparameters: Hyperparameters;
}

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Sections that a request may change. */
const openSections = ['method', 'data', 'lora', 'train', 'dpo', 'checkpoint', 'runtime'] as const;
/** Stands for the files that are known when the run starts. */
const placeholder = 'at-start';

/** Throws `unsupported_parameter` or `config_invalid`, naming the field. */
export function mapRunConfig(
  request: Pick<
    CreateFineTuningJob,
    'hyperparameters' | 'method' | 'seed' | 'corral' | 'validation_file'
  >,
  defaults: TrainableBase['defaults'],
): MappedRun {
  const overrides = readOverrides(request.corral?.config ?? {});
  const method = readMethod(request, overrides['method'], defaults.method ?? 'lora');
  const wanted = readHyperparameters(request, method);
  const paths = { model: placeholder, data: { train: placeholder } };
  const card = parse(merge(paths, defaults));
  const defaultRate = card.train.learning_rate / rateDivisorOf(method);
  const recipe = merge(defaults, { method, train: { learning_rate: defaultRate } });
  const below = merge(paths, merge(recipe, { ...overrides, method }));
  const base = parse(below);
  const train: Tree = {};
  if (wanted.n_epochs !== undefined) train['epochs'] = wanted.n_epochs;
  if (wanted.batch_size !== undefined) train['batch_size'] = wanted.batch_size;
  if (wanted.learning_rate_multiplier !== undefined)
    train['learning_rate'] = defaultRate * wanted.learning_rate_multiplier;
  if (request.seed !== undefined && request.seed !== null) train['seed'] = request.seed;
  const dpo = wanted.beta === undefined ? {} : { beta: wanted.beta };
  const config = parse(merge(below, { train, dpo }));
  requireFittingFormat(config);
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
      ...(method === 'dpo' && { beta: config.dpo.beta }),
    },
  };
}

/** The configuration of a run that starts now, with its paths. */
export function withPaths(
  { data, ...rest }: StoredRunConfig,
  paths: { model: string; init: string | null; train: string; validation: string | null },
): RunConfig {
  return {
    ...rest,
    model: paths.model,
    lora: paths.init === null ? rest.lora : { ...rest.lora, init: paths.init },
    data: {
      ...data,
      train: paths.train,
      validation: paths.validation ?? data.validation,
    },
  };
}

/** Pairs for dpo and nothing else; said before a file is read. */
function requireFittingFormat({ method, data: { format } }: RunConfig): void {
  if (format === 'auto' || (format === 'preference') === (method === 'dpo')) return;
  throw refuse(
    'corral.config.data.format',
    method === 'dpo'
      ? 'method dpo learns from preference pairs; use "auto" or "preference"'
      : 'preference pairs need method dpo',
  );
}

function readOverrides(config: Tree): Tree {
  for (const [section, value] of Object.entries(config)) {
    const path = `corral.config.${section}`;
    if (!openSections.some((open) => open === section))
      throw refuse(path, `it cannot be set here; ${openSections.join(', ')} can`);
    if (section !== 'method' && !isTree(value)) throw refuse(path, 'it must hold keys and values');
    if (!isTree(value)) continue;
    if ('train' in value && section === 'data') throw refuse(`${path}.train`, 'use training_file');
    if ('init' in value)
      throw refuse(`${path}.init`, 'name the fine-tuned model to go on from as "model"');
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
