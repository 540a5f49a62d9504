// What the command line makes of a trainer that ends badly: its own words reach the person.
import { expect, it } from 'vitest';
import { createChildren, type Children } from './children.ts';
import { runTrainer } from './trainer-process.ts';

/** Runs `script` in the trainer's place. */
async function runScript(script: string): Promise<number> {
  await using children = createChildren();
  const instead: Children = {
    ...children,
    spawn: (command: string, _args: readonly string[], options = {}) =>
      children.spawn(command, ['-e', script], options),
  };
  const context = { children: instead, signal: new AbortController().signal };
  return await runTrainer(context, ['train'], () => undefined);
}

it('tells what a trainer said before it died without an answer', async () => {
  const died = runScript('console.error("SyntaxError: no such export"); process.exit(1)');
  await expect(died).rejects.toThrow('SyntaxError: no such export');
});

it('tells the reason of an error that has no name', async () => {
  const error = { code: 'internal_error', params: { request_id: '-' }, details: { reason: 'odd' } };
  const line = JSON.stringify({ type: 'failed', error });
  const failed = runScript(`console.log(${JSON.stringify(line)}); process.exit(1)`);
  await expect(failed).rejects.toThrow('The trainer failed: odd');
});

it('tells an error with a name by its name', async () => {
  const error = { code: 'file_not_found', params: { path: 'a.gguf' } };
  const line = JSON.stringify({ type: 'failed', error });
  const failed = runScript(`console.log(${JSON.stringify(line)}); process.exit(1)`);
  await expect(failed).rejects.toMatchObject({ code: 'file_not_found' });
});

it('leaves a report of bad rows to the command', async () => {
  expect(await runScript('console.log("{}"); process.exit(1)')).toBe(1);
});
