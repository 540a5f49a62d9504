import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nextStepBlocks, snippets } from './next-steps.ts';

const steps = {
  baseUrl: 'http://127.0.0.1:4321',
  home: '/home/someone/.corral',
  alias: 'ferry',
  question: "What's the dog's fare?",
  homeIsSet: false,
};

it('makes a shell snippet that reads the key from the credentials file', () => {
  const home = mkdtempSync(join(tmpdir(), "corral it's "));
  try {
    writeFileSync(join(home, 'credentials.json'), '{"base_url":"x","api_key":"sk-corral-1"}');
    const { shell } = snippets({ ...steps, home });
    const said = execFileSync('sh', ['-c', `${shell}\necho "$OPENAI_API_KEY $OPENAI_BASE_URL"`]);
    expect(said.toString()).toBe('sk-corral-1 http://127.0.0.1:4321/v1\n');
  } finally {
    rmSync(home, { recursive: true });
  }
});

it('makes a curl snippet whose body is the JSON that was meant', () => {
  const { curl } = snippets(steps);
  const script = `curl() { for last; do :; done; printf %s "$last"; }\n${curl}`;
  const body: unknown = JSON.parse(execFileSync('sh', ['-c', script]).toString());
  expect(body).toEqual({
    model: 'ferry',
    messages: [{ role: 'user', content: steps.question }],
  });
});

it('says how to start the server again only when it is shut down', () => {
  const titles = (baseUrl: string | null) =>
    nextStepBlocks({ ...steps, baseUrl }).map(({ text }) => text);
  expect(titles('http://127.0.0.1:1').join()).not.toContain('corral serve');
  expect(titles(null).join()).toContain('npx corral serve');
  expect(nextStepBlocks({ ...steps, homeIsSet: true })[0]?.text).toContain("CORRAL_HOME='");
});
