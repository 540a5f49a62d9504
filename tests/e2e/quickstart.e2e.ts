// The first command of the README on the whole system, with the miniature that ships with Corral: every
// figure is there, the tuned model knows what the base does not, nothing runs on, and the second
// run trains nothing.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quickstartSummarySchema } from '@corral/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { corral, newHome, removeHome } from './support/server-process.ts';

describe('corral quickstart', () => {
  const home = newHome();
  const run = async () => {
    const args = ['quickstart', '--model', 'rehearsal', '--json'];
    const { code, stdout, stderr } = await corral(home, ...args);
    expect(stderr).not.toContain('✗');
    expect(code).toBe(0);
    return quickstartSummarySchema.parse(JSON.parse(stdout));
  };
  afterAll(() => {
    removeHome(home);
  });

  it('tunes, proves, serves and shows evidence', async () => {
    const summary = await run();
    expect(summary).toMatchObject({
      base_model: 'rehearsal',
      parity: { prompt_tokens_equal: true },
      evidence: { verified: true },
    });
    expect(summary.score_tuned).toBeGreaterThanOrEqual(20);
    expect(summary.score_base).toBeLessThan(10);
    expect(summary.loss_after).toBeLessThan(summary.loss_before ?? 0);
    const kept: unknown = JSON.parse(readFileSync(join(home, 'quickstart.json'), 'utf8'));
    expect(kept).toEqual(summary);
    expect((await corral(home, 'status')).code).toBe(1);
  });

  it('goes straight to the answers when run again', async () => {
    const summary = await run();
    expect(summary.score_tuned).toBeGreaterThanOrEqual(20);
    expect(summary.seconds['tune']).toBeLessThan(5);
  });
});
