// `npm run check`: the scripts of package.json named below, side by side, each told of when it ends, and
// then the tests that need no native code. All of the first are reported, also where one fails; the tests
// are started only when none did. Exit code 0 if all passed, else 1.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Longest first, so that the last to end is a short one. */
const checks = ['types', 'lint', 'boundaries', 'knip', 'format:check', 'docs:check', 'size'];
const tests = 'test:fast';

const { scripts } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { scripts: Readonly<Record<string, string>> };

interface Outcome {
  readonly passed: boolean;
  readonly seconds: number;
  readonly output: string;
}

/** Runs a script as npm would, which has put the tools into PATH; `show` leaves its output to the terminal. */
async function runScript(name: string, { show }: { show: boolean }): Promise<Outcome> {
  const command = scripts[name];
  if (command === undefined) throw new Error(`package.json has no script "${name}"`);
  const started = performance.now();
  const child = spawn(command, {
    shell: true,
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const passed = await new Promise<boolean>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve(code === 0);
    });
  });
  return { passed, seconds: (performance.now() - started) / 1000, output: output.trim() };
}

function report(name: string, { passed, seconds, output }: Outcome): void {
  console.log(`${passed ? '✔' : '✘'} ${name.padEnd(12)} ${seconds.toFixed(1)} s`);
  // Of those that passed, warnings and counts are for whoever runs the one script.
  if (!passed) console.log(`\n${output}\n`);
}

const waiting = [...checks];
const failed: string[] = [];
async function lane(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const outcome = await runScript(name, { show: false });
    report(name, outcome);
    if (!outcome.passed) failed.push(name);
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, lane));
if (failed.length === 0) {
  const outcome = await runScript(tests, { show: true });
  report(tests, outcome);
  if (!outcome.passed) failed.push(tests);
}
if (failed.length > 0) console.log(`failed: ${failed.join(', ')} (npm run ${failed[0]})`);
process.exitCode = failed.length > 0 ? 1 : 0;
