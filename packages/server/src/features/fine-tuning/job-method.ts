// OpenAI's words for a training method and its hyper-parameters, read and answered. Corral's own methods are
// finer: `corral.config.method` chooses among those that a word covers. What each makes stands here, too.
import {
  CorralError,
  trainingMethods,
  type CreateFineTuningJob,
  type TrainingMethod,
} from '@corral/contracts';
import type { Hyperparameters } from './fine-tuning-tables.ts';

interface JobMethod {
  /** What OpenAI calls it. */
  readonly type: 'supervised' | 'dpo';
  /** An adapter of the base, or a model of its own. */
  readonly makes: 'adapter' | 'model';
  /**
   * The rate of a recipe card is LoRA's. Preference training moves answers that the model can already give, and
   * goes far slower (5e-6 where LoRA has 2e-4); so does training every weight (2e-5), where a rate for thin
   * matrices would wipe out what was there.
   */
  readonly rateDivisor: number;
}
const jobMethods: Readonly<Record<TrainingMethod, JobMethod>> = {
  lora: { type: 'supervised', makes: 'adapter', rateDivisor: 1 },
  qlora: { type: 'supervised', makes: 'adapter', rateDivisor: 1 },
  dpo: { type: 'dpo', makes: 'adapter', rateDivisor: 40 },
  full: { type: 'supervised', makes: 'model', rateDivisor: 10 },
  pretrain: { type: 'supervised', makes: 'model', rateDivisor: 10 },
};

export const resultOf = (method: TrainingMethod): JobMethod['makes'] => jobMethods[method].makes;
export const rateDivisorOf = (method: TrainingMethod): number => jobMethods[method].rateDivisor;

const methodTypes = ['supervised', 'dpo', 'reinforcement'] as const;

const hyperparameterNames = ['n_epochs', 'batch_size', 'learning_rate_multiplier', 'beta'] as const;
/** What was asked for in numbers; `auto` is absent. */
export type WantedHyperparameters = Partial<Record<(typeof hyperparameterNames)[number], number>>;

type MethodRequest = Pick<CreateFineTuningJob, 'hyperparameters' | 'method'>;

export const refuse = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });

const quoted = (value: unknown): string => `"${String(value)}"`;

/** The method of a value of `corral.config.method`. Throws `unsupported_parameter`. */
function readOverride(value: unknown): TrainingMethod | undefined {
  if (value === undefined) return undefined;
  const param = 'corral.config.method';
  const method = trainingMethods.find((name) => name === value);
  if (method !== undefined) return method;
  throw refuse(param, `${quoted(value)} is no method; use ${trainingMethods.join(', ')}`);
}

/**
 * The method of a request: `method.type`, and `corral.config.method` where that says more. Throws
 * `unsupported_parameter` for what is not offered and for two that contradict each other.
 */
export function readMethod(
  { method }: MethodRequest,
  override: unknown,
  fallback: TrainingMethod,
): TrainingMethod {
  const own = readOverride(override);
  if (method === undefined) return own ?? fallback;
  const { type } = method;
  if (type !== 'supervised' && type !== 'dpo')
    throw refuse('method.type', `${quoted(type)} is not offered; use "supervised" or "dpo"`);
  for (const other of methodTypes)
    if (other !== type && method[other] !== undefined && method[other] !== null)
      throw refuse(`method.${other}`, `method.type is "${type}"`);
  const chosen = own ?? (jobMethods[fallback].type === type ? fallback : defaultMethods[type]);
  if (jobMethods[chosen].type !== type)
    throw refuse(
      'corral.config.method',
      `"${chosen}" is not ${quoted(type)}, which method.type says`,
    );
  return chosen;
}
const defaultMethods = { supervised: 'lora', dpo: 'dpo' } as const;

const isDpo = (method: TrainingMethod): boolean => jobMethods[method].type === 'dpo';

/** The hyper-parameters of a request, in either place. Throws `unsupported_parameter` for unknown names. */
export function readHyperparameters(
  { hyperparameters, method }: MethodRequest,
  chosen: TrainingMethod,
): WantedHyperparameters {
  const names: readonly string[] = hyperparameterNames.filter(
    (name) => name !== 'beta' || isDpo(chosen),
  );
  const places: readonly (readonly [string, Readonly<Record<string, unknown>> | undefined])[] = [
    ['hyperparameters', hyperparameters],
    ['method.supervised.hyperparameters', method?.supervised?.hyperparameters],
    ['method.dpo.hyperparameters', method?.dpo?.hyperparameters],
  ];
  const wanted: Record<string, number> = {};
  for (const [place, given] of places)
    for (const [name, value] of Object.entries(given ?? {})) {
      if (!names.includes(name))
        throw refuse(
          `${place}.${name}`,
          `it is not one of ${names.join(', ')}; see corral.config for more`,
        );
      if (typeof value === 'number') wanted[name] = value;
    }
  return wanted;
}

/** What a job's answer says of its method. */
export function methodObject(
  method: TrainingMethod,
  hyperparameters: Hyperparameters,
): { readonly type: string } {
  const { type } = jobMethods[method];
  return { type, [type]: { hyperparameters: { ...hyperparameters } } };
}
