// A run's metrics as OpenAI's result file has them: one row a step, empty where nothing was measured.
// Rewards of preference pairs have columns of their own where there are any.

const columns = [
  'step',
  'train_loss',
  'train_mean_token_accuracy',
  'valid_loss',
  'valid_mean_token_accuracy',
] as const;
const rewardColumns = [
  'train_reward_accuracy',
  'train_reward_margin',
  'valid_reward_accuracy',
  'valid_reward_margin',
] as const;

/** From the data of metrics events, oldest first. A step that ran twice counts as it ran last. */
export function metricsCsv(
  rows: readonly { readonly data: Record<string, unknown> | null }[],
): string {
  const steps = new Map<number, Record<string, unknown>>();
  for (const { data } of rows) {
    const step = data?.['step'];
    if (typeof step === 'number') steps.set(step, { ...steps.get(step), ...data });
  }
  const hasRewards = [...steps.values()].some((data) => rewardColumns.some((name) => name in data));
  const shown = hasRewards ? [...columns, ...rewardColumns] : columns;
  const lines = [...steps]
    .toSorted(([a], [b]) => a - b)
    .map(([, data]) =>
      shown.map((name) => (typeof data[name] === 'number' ? String(data[name]) : '')).join(','),
    );
  return `${[shown.join(','), ...lines].join('\n')}\n`;
}
