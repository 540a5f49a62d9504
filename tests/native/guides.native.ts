// The guides "add an operation" and "add a model" are true: each is done, word by word, in a copy of the
// sources; then the types check and the command of its last section passes.
import { execFile } from 'node:child_process';
import {
  cp,
  mkdir,
  mkdtempDisposable,
  readFile,
  readdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const packages = ['contracts', 'formats', 'trainer'];
const run = promisify(execFile);

interface Edit {
  readonly file: string;
  readonly place: 'after' | 'instead of';
  readonly line: string;
  readonly code: string;
}

/** "In `FILE`, after `LINE`:" and the block that follows. */
function editsOf(guide: string): Edit[] {
  const pattern = /In `([^`]+)`, (after|instead of) `([^`]+)`:\n\n```\w+\n([^]*?)```/g;
  return [...guide.matchAll(pattern)].map(([, file = '', place, line = '', code = '']) => ({
    file,
    place: place === 'after' ? 'after' : 'instead of',
    line,
    code,
  }));
}

/** The arguments of vitest in the last section. */
function proofOf(guide: string): string[] {
  const [, proof = ''] = /^npx vitest (run --project native .*)$/m.exec(guide) ?? [];
  return proof.split(' ');
}

/** The packages and what they need, where nothing else sees the changes. */
async function copySources(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, '@corral'), { recursive: true });
  for (const name of await readdir(join(repository, 'node_modules'))) {
    if (name === '@corral') continue;
    await symlink(join(repository, 'node_modules', name), join(modules, name));
  }
  for (const name of packages) {
    await cp(join(repository, 'packages', name), join(folder, 'packages', name), {
      recursive: true,
      filter: (path) => !path.includes('node_modules'),
    });
    await symlink(join(folder, 'packages', name), join(modules, '@corral', name));
  }
  for (const file of ['package.json', 'vitest.config.ts']) {
    await cp(join(repository, file), join(folder, file));
  }
  const config = JSON.parse(await readFile(join(repository, 'tsconfig.json'), 'utf8')) as object;
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ ...config, include: ['packages/*/src'] }),
  );
}

async function apply(folder: string, { file, place, line, code }: Edit): Promise<void> {
  const path = join(folder, file);
  const lines = (await readFile(path, 'utf8')).split('\n');
  const places = lines.flatMap((text, at) => (text.trim() === line ? [at] : []));
  expect({ file, line, times: places.length }).toEqual({ file, line, times: 1 });
  const [at = 0] = places;
  const added = code.replace(/\n$/, '').split('\n');
  if (place === 'after') lines.splice(at + 1, 0, ...added);
  else lines.splice(at, 1, ...added);
  await writeFile(path, lines.join('\n'));
}

const inFolder = async (cwd: string, entry: string, args: readonly string[]): Promise<string> => {
  const child = run(process.execPath, [join(repository, 'node_modules', entry), ...args], {
    cwd,
    // The run inside is its own: it must not take this one's for its parent.
    env: { PATH: process.env['PATH'] ?? '', HOME: cwd },
  });
  const { stdout } = await child.catch((error: unknown) => {
    const { stdout: out = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${entry} failed:\n${out}${stderr}`);
  });
  return stdout;
};

describe.each(['add-an-op', 'add-a-model'])('the guide %s', (name) => {
  test('leads where it says', async () => {
    const guide = await readFile(join(repository, 'docs/guides', `${name}.md`), 'utf8');
    const edits = editsOf(guide);
    expect(edits.length).toBeGreaterThan(4);
    await using place = await mkdtempDisposable(join(tmpdir(), 'corral-guide-'));
    await copySources(place.path);
    for (const edit of edits) await apply(place.path, edit);
    await inFolder(place.path, 'typescript-native/bin/tsc', ['-p', '.']);
    const report = await inFolder(place.path, 'vitest/vitest.mjs', proofOf(guide));
    expect(report).toMatch(/Tests .*\d+ passed/);
    expect(report).not.toMatch(/\d+ failed/);
  });
});
