// OpenAI's words for a training method and its hyper-parameters, read and answered. Corral's own methods
// (lora, qlora, dpo) are finer: `corral.config.method` chooses among those that a word covers.
import { CorralError, type CreateFineTuningJob, type TrainingMethod } from '@corral/contracts';
import type { Hyperparameters } from './fine-tuning-tables.ts';

/** What OpenAI calls each method; null: it gives a whole model, and a deployment takes an adapter. */
const openaiTypes: Readonly<Record<TrainingMethod, 'supervised' | 'dpo' | null>> = {
  lora: 'supervised',
  qlora: 'supervised',
  dpo: 'dpo',
  full: null,
  pretrain: null,
};
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
  if (typeof value !== 'string' || !Object.hasOwn(openaiTypes, value))
    throw refuse(param, `${quoted(value)} is no method; use "lora", "qlora" or "dpo"`);
  const method = value as TrainingMethod;
  if (openaiTypes[method] === null)
    throw refuse(
      param,
      `"${method}" gives a whole model and a job an adapter; run "corral train" and import its GGUF with "corral models import"`,
    );
  return method;
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
  const chosen = own ?? (openaiTypes[fallback] === type ? fallback : defaultMethods[type]);
  if (openaiTypes[chosen] !== type)
    throw refuse(
      'corral.config.method',
      `"${chosen}" is not ${quoted(type)}, which method.type says`,
    );
  return chosen;
}
const defaultMethods = { supervised: 'lora', dpo: 'dpo' } as const;

const isDpo = (method: TrainingMethod): boolean => openaiTypes[method] === 'dpo';

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
  const type = openaiTypes[method] ?? 'supervised';
  return { type, [type]: { hyperparameters: { ...hyperparameters } } };
}
