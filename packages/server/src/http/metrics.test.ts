import { expect, it } from 'vitest';
import { createMetrics } from './metrics.ts';

it('writes counters by label and gauges as they are when asked', async () => {
  const metrics = createMetrics();
  let temperature = 1;
  metrics.gauge('warmth', 'Of the room.', async () => temperature);
  const visits = metrics.counter('visits_total', 'People.');
  visits.add();
  visits.add(2, { door: 'a"b\\c\nd' });
  metrics.counter('visits_total', 'People.').add(3, { door: 'a"b\\c\nd' });
  temperature = 20;
  expect(await metrics.render()).toBe(
    '# HELP warmth Of the room.\n# TYPE warmth gauge\nwarmth 20\n' +
      '# HELP visits_total People.\n# TYPE visits_total counter\n' +
      'visits_total 1\nvisits_total{door="a\\"b\\\\c\\nd"} 5\n',
  );
});
