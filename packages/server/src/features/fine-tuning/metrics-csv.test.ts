import { expect, it } from 'vitest';
import { metricsCsv } from './metrics-csv.ts';

it('writes one line a step, joins what was measured, and keeps the last of a step that ran twice', () => {
  const rows = [
    { data: { step: 2, train_loss: 2 } },
    { data: { step: 1, train_loss: 3, train_mean_token_accuracy: 0.5 } },
    { data: { step: 2, train_loss: 1.5 } },
    { data: { step: 2, valid_loss: 1.25 } },
    { data: null },
  ];
  expect(metricsCsv(rows)).toBe(
    'step,train_loss,train_mean_token_accuracy,valid_loss,valid_mean_token_accuracy\n' +
      '1,3,0.5,,\n2,1.5,,1.25,\n',
  );
});

it('has columns for the rewards of preference pairs when there are any', () => {
  const rows = [
    { data: { step: 0, valid_loss: 0.7, valid_reward_accuracy: 0.5, valid_reward_margin: 0 } },
    { data: { step: 1, train_loss: 0.6, train_reward_accuracy: 1, train_reward_margin: 0.25 } },
  ];
  const [head, ...lines] = metricsCsv(rows).trim().split('\n');
  expect(head?.split(',').slice(5)).toEqual([
    'train_reward_accuracy',
    'train_reward_margin',
    'valid_reward_accuracy',
    'valid_reward_margin',
  ]);
  expect(lines).toEqual(['0,,,0.7,,,,0.5,0', '1,0.6,,,,1,0.25,,']);
});
