// Does what docs/guides/add-a-method.md says: applies its blocks to a copy of the sources, in order, lets the
// compiler check them, and trains with the new method.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { RunEvent } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PairLosses, PairOutcome } from './pair-step.ts';
import { writeToyInputs } from './toy-run.fake.ts';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const guide = readFileSync(join(root, 'docs/guides/add-a-method.md'), 'utf8');
const packages = ['contracts', 'formats', 'trainer'];

interface Block {
  readonly kind: string;
  readonly path: string;
  readonly text: string;
}

/** Fenced blocks that name a file. */
const blocks: Block[] = [...guide.matchAll(/^```(ts|diff|yaml) (\S+)\n([^]*?)^```$/gm)].map(
  ([, kind = '', path = '', text = '']) => ({ kind, path, text }),
);

/** The lines that must be there, and those that take their place. */
function applyDiff(source: string, diff: string): string {
  const lines = diff.trimEnd().split('\n');
  const side = (sign: string): string =>
    lines
      .filter((line) => line.startsWith(sign) || line.startsWith(' '))
      .map((line) => `${line.slice(1)}\n`)
      .join('');
  const before = side('-');
  expect(source).toContain(before);
  return source.replace(before, () => side('+'));
}

let copy = '';
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'corral-guide-'));
  for (const name of packages) {
    cpSync(join(root, 'packages', name), join(copy, 'packages', name), {
      recursive: true,
      filter: (path) => !/node_modules|\.(test|native|integration)\.ts$/.test(path),
    });
    mkdirSync(join(copy, 'node_modules/@corral'), { recursive: true });
    symlinkSync(join(copy, 'packages', name), join(copy, 'node_modules/@corral', name), 'dir');
  }
  cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  // What the packages themselves import, as links to what is installed.
  for (const name of packages) {
    const manifest = JSON.parse(
      readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'),
    ) as { dependencies?: Record<string, string> };
    for (const dependency of [...Object.keys(manifest.dependencies ?? {}), '@types/node']) {
      const target = join(copy, 'node_modules', dependency);
      if (existsSync(target)) continue;
      mkdirSync(dirname(target), { recursive: true });
      symlinkSync(join(root, 'node_modules', dependency), target, 'dir');
    }
  }
  writeToyInputs(copy);
  for (const { kind, path, text } of blocks) {
    const target = join(copy, path);
    const diff = kind === 'diff';
    writeFileSync(target, diff ? applyDiff(readFileSync(target, 'utf8'), text) : text);
  }
});
afterAll(() => {
  rmSync(copy, { recursive: true });
});

describe('the guide to adding a method', () => {
  test('has new files, changes and a configuration', () => {
    expect(blocks.map(({ kind }) => kind).toSorted()).toEqual(
      ['diff', 'diff', 'diff', 'diff', 'diff', 'ts', 'ts', 'yaml'].toSorted(),
    );
  });

  test('gives sources that the compiler takes', () => {
    const config = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')) as object;
    const tsconfig = { ...config, include: ['packages/contracts/src', 'packages/trainer/src'] };
    writeFileSync(join(copy, 'tsconfig.json'), JSON.stringify(tsconfig));
    const compiler = join(
      dirname(createRequire(import.meta.url).resolve('typescript-native/package.json')),
      'bin/tsc',
    );
    const options = { encoding: 'utf8', stdio: 'pipe' } as const;
    expect(execFileSync(process.execPath, [compiler, '-p', copy], options)).toBe('');
  });

  test('gives a loss with the derivative that it says', async () => {
    const path = pathToFileURL(join(copy, 'packages/trainer/src/recipes/orpo-loss.ts')).href;
    const { orpoOutcome } = (await import(path)) as {
      orpoOutcome: (l: PairLosses, t: PairLosses, o: { lambda: number }) => PairOutcome;
    };
    const tokens = { chosen: 7, rejected: 4 };
    const at = (chosen: number, rejected: number) =>
      orpoOutcome({ chosen, rejected }, tokens, { lambda: 0.3 });
    const h = 1e-5;
    for (const [chosen, rejected] of [
      [9, 5],
      [2, 11],
      [30, 1],
    ] as const) {
      const { weights } = at(chosen, rejected);
      const byChosen = at(chosen + h, rejected).loss - at(chosen - h, rejected).loss;
      const byRejected = at(chosen, rejected + h).loss - at(chosen, rejected - h).loss;
      expect(byChosen / (2 * h)).toBeCloseTo(weights.chosen, 6);
      expect(byRejected / (2 * h)).toBeCloseTo(weights.rejected, 6);
    }
  });

  test('gives a method that trains', () => {
    const worker = join(copy, 'packages/trainer/src/worker.ts');
    const output = join(copy, 'out');
    const config = join(copy, 'orpo.yaml');
    const said = execFileSync(
      process.execPath,
      [worker, 'train', '--config', config, '--output', output],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const events = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RunEvent);
    expect(events.find((event) => event.type === 'started')).toMatchObject({ method: 'orpo' });
    const finished = events.find((event) => event.type === 'finished');
    expect(finished?.loss_after).toBeLessThan((finished?.loss_before ?? 0) - 0.02);
    const steps = events.filter((event) => event.type === 'step');
    expect(steps.at(-1)?.reward_accuracy).toBeGreaterThan(0.8);
    expect(existsSync(join(output, 'adapter_model.safetensors'))).toBe(true);
  });
});
