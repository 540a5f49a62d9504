import { trainingMethods } from '@corral/contracts';
import { expect, it } from 'vitest';
import { methodObject } from './job-method.ts';

const three = { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 1 };

it('answers with the word and the numbers that were asked for', () => {
  expect(methodObject('qlora', three)).toEqual({
    type: 'supervised',
    supervised: { hyperparameters: three },
  });
  const four = { ...three, beta: 0.2 };
  expect(methodObject('dpo', four)).toEqual({ type: 'dpo', dpo: { hyperparameters: four } });
});

it.each(trainingMethods)("has one of OpenAI's words for a stored job of method %s", (method) => {
  expect(methodObject(method, three).type).toMatch(/^(supervised|dpo)$/);
});
