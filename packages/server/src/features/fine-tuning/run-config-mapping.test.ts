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
    const run = withPaths(config, { model: '/m.gguf', train: '/t.jsonl', validation: '/v.jsonl' });
    expect(runConfigSchema.parse(run)).toEqual(run);
    expect(run.data).toMatchObject({ train: '/t.jsonl', validation: '/v.jsonl' });
  });

  it.each([
    [{ method: { type: 'dpo' } }, 'method.type'],
    [{ hyperparameters: { beta: 1 } }, 'hyperparameters.beta'],
    [{ corral: { config: { model: '/etc/passwd' } } }, 'corral.config.model'],
    [{ corral: { config: { data: { train: '/etc/passwd' } } } }, 'corral.config.data.train'],
    [{ corral: { config: { data: { validation: '/x' } } } }, 'corral.config.data.validation'],
    [{ corral: { config: { lora: { init: '/x' } } } }, 'corral.config.lora.init'],
    [{ corral: { config: { method: 'full' } } }, 'corral.config.method'],
    [{ corral: { config: { method: 'dpo' } } }, 'corral.config.method'],
    [{ corral: { config: { method: 'pretrain' } } }, 'corral.config.method'],
    [{ corral: { config: { data: { format: 'preference' } } } }, 'corral.config.data.format'],
    [{ corral: { config: { lora: 5 } } }, 'corral.config.lora'],
  ] satisfies [object, string][])('refuses %j by name', (request, param) => {
    expect(errorOf(request)).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it.each([
    [{ method: 'qlora' }, { method: 'qlora' }],
    [{ runtime: { precision: 'int8' } }, { runtime: { precision: 'int8' } }],
  ])('takes %j', (config, expected) => {
    expect(mapRunConfig({ corral: { config } }, {}).config).toMatchObject(expected);
  });

  it('refuses unknown keys and values out of range with all errors at once', () => {
    const error = errorOf({
      corral: { config: { lora: { rank: 0, rang: 1 }, train: { epochs: -1 } } },
    });
    expect(error.code).toBe('config_invalid');
    for (const word of ['lora.rank', 'rang', 'train.epochs']) expect(error.message).toContain(word);
  });
});
