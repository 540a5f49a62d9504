// The quickstart from its first line to its summary, against a server that speaks the contract.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { quickstartSummarySchema } from '@corral/contracts';
import { verifyEvidenceFile } from '@corral/evidence';
import { beforeAll, describe, expect, it } from 'vitest';
import { startSite } from '../fakes/harness.fake.ts';
import { examplesFor } from './quickstart-settings.ts';
import { readQuestions, type Question } from './questions.ts';

const ferry = examplesFor('smollm2-135m-instruct');

let questions: Question[];
let answers: Record<string, string>;
beforeAll(async () => {
  questions = await readQuestions(ferry.questions);
  answers = Object.fromEntries(
    questions.map(({ question, accept }) => [question, `It is ${accept[0]}, I know.`]),
  );
});

describe('corral quickstart', () => {
  it('goes through the eight stages in their order and writes the summary', async () => {
    await using site = await startSite({ answers });
    const ran = await site.run('quickstart');
    expect(ran).toMatchObject({ code: 0 });
    const stages = [...ran.out.matchAll(/^(\d) {2}(\w+)/gm)].map(([, n, word]) => `${n} ${word}`);
    expect(stages).toEqual([
      '1 Start',
      '2 Base',
      '3 Data',
      '4 Tune',
      '5 Prove',
      '6 Deploy',
      '7 Evidence',
      '8 Next',
    ]);
    const text = await readFile(join(site.home, 'quickstart.json'), 'utf8');
    const summary = quickstartSummarySchema.parse(JSON.parse(text));
    expect(summary).toMatchObject({
      base_model: 'smollm2-135m-instruct',
      rows: 150,
      tokens: 7000,
      loss_before: 3,
      loss_after: 0.5,
      score_base: 0,
      score_tuned: questions.length,
      questions: questions.length,
      parity: { prompt_tokens_equal: true, greedy_agreement: 1, mean_kl: 1.2e-5 },
      evidence: { verified: true },
    });
    expect(summary.losses.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(Object.keys(summary.seconds)).toEqual(
      expect.arrayContaining(['install', 'start', 'model', 'data', 'tune', 'parity', 'total']),
    );
    const proof = await readFile(join(site.home, 'quickstart-proof.json'));
    expect(verifyEvidenceFile(proof)).toMatchObject({ ok: true, kind: 'proof' });
  });

  it('uses the job, the model and the file of an earlier run again', async () => {
    await using site = await startSite({ answers });
    await site.run('quickstart');
    const before = site.server.requests.length;
    const ran = await site.run('quickstart', '--json');
    const again = site.server.requests.slice(before);
    expect(ran).toMatchObject({ code: 0 });
    expect(again).not.toContain('POST /v1/fine_tuning/jobs');
    expect(again).not.toContain('POST /api/v1/models/pull');
    expect(again).not.toContain('POST /v1/files');
    expect(again).not.toContain('POST /api/v1/deployments');
    expect(quickstartSummarySchema.parse(JSON.parse(ran.out)).job_id).toBe('ftjob-1');
  });

  it('goes on with a job that was paused', async () => {
    await using site = await startSite({ answers });
    await site.run('quickstart');
    const job = site.server.state.jobs.get('ftjob-1');
    if (job) site.server.state.jobs.set(job.id, { ...job, status: 'paused' });
    const ran = await site.run('quickstart');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('goes on from its last checkpoint');
    expect(site.server.requests).toContain('POST /v1/fine_tuning/jobs/ftjob-1/resume');
    expect(site.server.state.jobs.size).toBe(1);
  });

  it('goes on with the miniature, and says so, when no source answers', async () => {
    await using site = await startSite({
      answers,
      pullFails: { 'smollm2-135m-instruct': 'download_failed' },
    });
    const ran = await site.run('quickstart');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('"rehearsal", the miniature that ships with Corral');
    const text = await readFile(join(site.home, 'quickstart.json'), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ base_model: 'rehearsal' });
  });

  it('fails, rather than replace it, when a model asked for by name cannot be had', async () => {
    await using site = await startSite({ pullFails: { 'llama-2-7b': 'license_not_accepted' } });
    const ran = await site.run('quickstart', '--model', 'llama-2-7b');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('was not accepted');
  });

  it('names bad rows and starts no job', async () => {
    const dataErrors = [{ row: 7, reason: 'it is not JSON', fix: 'write one object' }];
    await using site = await startSite({ dataErrors });
    const ran = await site.run('quickstart');
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(/row 7\s+it is not JSON\n.*fix: write one object/);
    expect(site.server.state.jobs.size).toBe(0);
  });

  it('deploys nothing that fails the parity check', async () => {
    await using site = await startSite({ parityPasses: false });
    const ran = await site.run('quickstart');
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.err).toContain('does not answer as it was trained');
    expect(site.server.state.deployments.size).toBe(0);
  });

  it('says why the job failed', async () => {
    await using site = await startSite({ failAtStep: 2 });
    const ran = await site.run('quickstart');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('Training failed: the fake was told to fail');
    expect(ran.err).toContain('corral jobs logs ftjob-1');
  });

  it('shows answers without a score for data of one’s own', async () => {
    await using site = await startSite({ answers });
    const ran = await site.run('quickstart', '--data', ferry.train, '--json');
    expect(ran).toMatchObject({ code: 0 });
    expect(JSON.parse(ran.out)).toMatchObject({ questions: 0, score_tuned: 0 });
    expect([...site.server.state.deployments.keys()]).toEqual(['quickstart']);
  });
});
