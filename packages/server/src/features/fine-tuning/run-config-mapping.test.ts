import { runConfigSchema, type CreateFineTuningJob } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { mapRunConfig, withPaths } from './run-config-mapping.ts';

const defaults = {
  train: { epochs: 5, batch_size: 8, learning_rate: 0.0004, seed: 3 },
  lora: { rank: 8 },
  data: { context_length: 512 },
};
type Request = Partial<CreateFineTuningJob>;
const map = (request: Request) => mapRunConfig(request, defaults);
const errorOf = (request: Request) => {
  try {
    map(request);
  } catch (error) {
    return error as { code: string; param: string; message: string };
  }
  throw new Error('nothing was refused');
};

describe('OpenAI request to run configuration', () => {
  it('takes the recipe card for everything that is auto or absent', () => {
    const auto = {
      n_epochs: 'auto',
      batch_size: 'auto',
      learning_rate_multiplier: 'auto',
    } as const;
    for (const request of [{}, { hyperparameters: auto }]) {
      const { config, hyperparameters } = map(request);
      expect(config.train).toMatchObject(defaults.train);
      expect(config.lora.rank).toBe(8);
      expect(config.lora.alpha).toBe(runConfigSchema.shape.lora.parse({}).alpha);
      expect(hyperparameters).toEqual({ n_epochs: 5, batch_size: 8, learning_rate_multiplier: 1 });
    }
  });

  it('maps epochs, batch, rate multiplier and seed exactly, in either place', () => {
    const given = { n_epochs: 2, batch_size: 16, learning_rate_multiplier: 0.5 };
    const places: Request[] = [
      { hyperparameters: given },
      { method: { type: 'supervised', supervised: { hyperparameters: given } } },
    ];
    for (const place of places) {
      const { config, hyperparameters } = map({ ...place, seed: 11 });
      expect(config.train).toMatchObject({
        epochs: 2,
        batch_size: 16,
        learning_rate: 0.0002,
        seed: 11,
      });
      expect(hyperparameters).toEqual(given);
    }
  });

  it('lets corral.config override the card, and OpenAI fields override both', () => {
    const config = { lora: { rank: 64 }, train: { epochs: 9, learning_rate: 0.001 } };
    expect(map({ corral: { config } })).toMatchObject({
      config: { lora: { rank: 64 }, train: { epochs: 9, learning_rate: 0.001, batch_size: 8 } },
      hyperparameters: { n_epochs: 9, learning_rate_multiplier: 2.5 },
    });
    const both = map({ corral: { config }, hyperparameters: { n_epochs: 1 } });
    expect(both.config.train.epochs).toBe(1);
  });

  it('makes a configuration that the trainer accepts', () => {
    const { config } = map({ validation_file: 'file-1' });
    const paths = { model: '/m.gguf', train: '/t.jsonl', validation: '/v.jsonl' };
    const run = withPaths(config, { ...paths, init: null });
    expect(runConfigSchema.parse(run)).toEqual(run);
    expect(run.lora).not.toHaveProperty('init');
    expect(withPaths(config, { ...paths, init: '/adapter' }).lora.init).toBe('/adapter');
    expect(run.data).toMatchObject({ train: '/t.jsonl', validation: '/v.jsonl' });
  });

  it.each([
    [{ method: { type: 'reinforcement' } }, 'method.type'],
    [{ method: { type: 'supervised', dpo: {} } }, 'method.dpo'],
    [{ method: { type: 'dpo', supervised: {} } }, 'method.supervised'],
    [{ method: { type: 'dpo', reinforcement: {} } }, 'method.reinforcement'],
    [{ hyperparameters: { beta: 1 } }, 'hyperparameters.beta'],
    [
      { method: { type: 'supervised', supervised: { hyperparameters: { beta: 1 } } } },
      'method.supervised.hyperparameters.beta',
    ],
    [{ corral: { config: { model: '/etc/passwd' } } }, 'corral.config.model'],
    [{ corral: { config: { data: { train: '/etc/passwd' } } } }, 'corral.config.data.train'],
    [{ corral: { config: { data: { validation: '/x' } } } }, 'corral.config.data.validation'],
    [{ corral: { config: { lora: { init: '/x' } } } }, 'corral.config.lora.init'],
    [{ corral: { config: { method: 'grpo' } } }, 'corral.config.method'],
    [{ corral: { config: { method: 'constructor' } } }, 'corral.config.method'],
    [{ method: { type: 'dpo' }, corral: { config: { method: 'qlora' } } }, 'corral.config.method'],
    [
      { method: { type: 'supervised' }, corral: { config: { method: 'dpo' } } },
      'corral.config.method',
    ],
    [{ corral: { config: { data: { format: 'preference' } } } }, 'corral.config.data.format'],
    [
      { method: { type: 'dpo' }, corral: { config: { data: { format: 'chat' } } } },
      'corral.config.data.format',
    ],
    [{ corral: { config: { lora: 5 } } }, 'corral.config.lora'],
  ] satisfies [object, string][])('refuses %j by name', (request, param) => {
    expect(errorOf(request)).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it.each(['full', 'pretrain'])(
    "trains every weight by method %s at a tenth of LoRA's rate",
    (method) => {
      const { config, hyperparameters } = map({ corral: { config: { method } } });
      const lora = map({}).config.train.learning_rate;
      expect(config).toMatchObject({ method, train: { learning_rate: lora / 10 } });
      expect(hyperparameters.learning_rate_multiplier).toBe(1);
      const type = { method: { type: 'supervised' as const }, corral: { config: { method } } };
      expect(map(type).config.method).toBe(method);
    },
  );

  it.each([
    [{ method: 'qlora' }, { method: 'qlora' }],
    [{ method: 'dpo', data: { format: 'preference' } }, { method: 'dpo' }],
    [{ runtime: { precision: 'int8' } }, { runtime: { precision: 'int8' } }],
    [{ lora: { use_rslora: true } }, { lora: { use_rslora: true } }],
    [{ data: { truncate: 'cut' } }, { data: { truncate: 'cut' } }],
  ])('takes %j', (config, expected) => {
    expect(mapRunConfig({ corral: { config } }, {}).config).toMatchObject(expected);
  });

  it('leaves the finer choice of a method to corral.config', () => {
    const supervised = { method: { type: 'supervised' } };
    expect(map(supervised).config.method).toBe('lora');
    const config = { method: 'qlora' };
    expect(map({ ...supervised, corral: { config } }).config.method).toBe('qlora');
    expect(mapRunConfig(supervised, { method: 'qlora' }).config.method).toBe('qlora');
    expect(mapRunConfig({ method: { type: 'dpo' } }, { method: 'qlora' }).config.method).toBe(
      'dpo',
    );
  });

  it("gives preference pairs a rate of their own, a fortieth of the card's", () => {
    const auto = map({ method: { type: 'dpo' } });
    expect(auto.config).toMatchObject({ method: 'dpo', dpo: { beta: 0.1 } });
    expect(auto.config.train.learning_rate).toBeCloseTo(0.00001, 12);
    expect(auto.hyperparameters).toEqual({
      n_epochs: 5,
      batch_size: 8,
      learning_rate_multiplier: 1,
      beta: 0.1,
    });
    const given = { n_epochs: 1, batch_size: 2, learning_rate_multiplier: 3, beta: 0.4 };
    const places: Request[] = [
      { method: { type: 'dpo', dpo: { hyperparameters: given } } },
      { method: { type: 'dpo' }, hyperparameters: given },
    ];
    for (const place of places) {
      const { config, hyperparameters } = map(place);
      expect(config).toMatchObject({ dpo: { beta: 0.4 }, train: { epochs: 1, batch_size: 2 } });
      expect(config.train.learning_rate).toBeCloseTo(0.00003, 12);
      expect(hyperparameters).toEqual(given);
    }
    const config = { method: 'dpo', dpo: { beta: 0.3 }, train: { learning_rate: 0.00002 } };
    expect(map({ corral: { config } }).hyperparameters).toMatchObject({
      learning_rate_multiplier: 2,
      beta: 0.3,
    });
  });

  it('refuses unknown keys and values out of range with all errors at once', () => {
    const error = errorOf({
      corral: { config: { lora: { rank: 0, rang: 1 }, train: { epochs: -1 } } },
    });
    expect(error.code).toBe('config_invalid');
    for (const word of ['lora.rank', 'rang', 'train.epochs']) expect(error.message).toContain(word);
  });
});
