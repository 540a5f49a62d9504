// The table of commands holds together: every command explains itself, and misuse is told from failure.
import { describe, expect, it } from 'vitest';
import { commandTable } from './command-table.ts';
import type { CommandSpec } from './command-spec.ts';
import { runCorral } from './fakes/harness.fake.ts';

interface Named {
  readonly path: string;
  readonly spec: CommandSpec;
}
const walk = (specs: readonly CommandSpec[], above = ''): Named[] =>
  specs.flatMap((spec) => {
    const path = `${above}${spec.name}`;
    return [{ path, spec }, ...walk(spec.subcommands ?? [], `${path} `)];
  });
const all = walk(commandTable);
const corral = (...argv: string[]) => runCorral(argv, { home: '/nonexistent/corral-home' });

describe('corral --help', () => {
  it('lists every command', async () => {
    const { code, out } = await corral('--help');
    expect(code).toBe(0);
    expect(out).toMatchSnapshot();
  });

  it.each(all.map(({ path }) => path))('%s explains itself', async (path) => {
    const { code, out, err } = await corral(...path.split(' '), '--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatchSnapshot();
  });
});

describe('the table of commands', () => {
  it.each(all)('$path has examples that name it', ({ path, spec }) => {
    expect(spec.examples.length).toBeGreaterThan(0);
    for (const { command } of spec.examples) expect(command).toContain(`corral ${path}`);
  });

  it.each(all)('$path can be run or has commands under it', ({ spec }) => {
    expect(spec.run !== undefined || (spec.subcommands ?? []).length > 0).toBe(true);
    expect(spec.failure).toMatch(/^The .*\.$/);
  });

  it.each(all)('$path uses only options that it declares in its examples', ({ spec }) => {
    const declared = [spec, ...(spec.subcommands ?? [])].flatMap(({ options = [] }) =>
      options.map(({ flags }) => flags.split(' ')[0]),
    );
    for (const { command } of spec.examples) {
      for (const [used] of command.matchAll(/--[a-z-]+/g)) {
        expect([...declared, '--json']).toContain(used);
      }
    }
  });
});

describe('exit codes', () => {
  it.each([
    [['--version'], 0],
    [[], 0],
    [['nonsense'], 2],
    [['nonsense', '--help'], 2],
    [['models', 'nonsense', '--help'], 2],
    [['deploy', 'anything', '--help'], 0],
    [['models'], 2],
    [['models', 'nonsense'], 2],
    [['models', 'show'], 2],
    [['models', 'show', 'a', 'b'], 2],
    [['status', '--nonsense'], 2],
    [['status'], 1],
  ])('%j ends with %i', async (argv, code) => {
    expect(await corral(...argv)).toMatchObject({ code });
  });

  it('is 130 when it was interrupted', async () => {
    const signal = AbortSignal.abort();
    const ran = await runCorral(['status'], {
      home: '/nonexistent/corral-home',
      env: { CORRAL_BASE_URL: 'http://127.0.0.1:9', CORRAL_API_KEY: 'k' },
      signal,
    });
    expect(ran.code).toBe(130);
  });

  it('prints misuse as JSON too', async () => {
    const { err } = await corral('status', '--json', '--nonsense');
    expect(JSON.parse(err)).toMatchObject({
      error: { code: 'usage', next: 'See "corral status --help".' },
    });
  });
});
