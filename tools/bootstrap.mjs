// Runs a command of this clone on a machine that has nothing but Node >= 20 and npm: installs the
// locked dependencies when they are missing or stale, then hands over to the Node 24 that the npm
// package `node` brought. Knows nothing of what it starts.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const windows = process.platform === 'win32';
const stamp = join(root, 'node_modules', '.corral-install');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

// A terminal sends Ctrl-C to the whole group; a second one from here would cut the child's orderly stop.
const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
const forwarded = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/**
 * Exit code of the command. Signals are passed on while it runs, and one that ends it ends this too.
 * @param {string} command @param {string[]} args @param {Record<string, string>} [extra]
 * @param {'inherit' | 2} [stdout] 2: what the command prints goes to standard error
 * @returns {Promise<number>}
 */
function run(command, args, extra = {}, stdout = 'inherit') {
  const bin = join(root, 'node_modules', '.bin');
  const env = { ...process.env, ...extra, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` };
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['inherit', stdout, 'inherit'],
    env,
    shell: windows,
  });
  /** @param {NodeJS.Signals} signal */
  const forward = (signal) => {
    if (signal !== 'SIGINT' || !hasTerminal) child.kill(signal);
  };
  for (const signal of forwarded) process.on(signal, forward);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      for (const name of forwarded) process.off(name, forward);
      if (signal) process.kill(process.pid, signal);
      resolve(code ?? 1);
    });
  });
}

async function install() {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('corral: installing dependencies (once per clone) ...\n');
  const started = Date.now();
  // Not `npm ci`: it refuses a lockfile that lacks another platform's optional binaries, which mirrors
  // often lack too. `--no-save` keeps the lockfile as it is. ONNX Runtime's install script would
  // download CUDA libraries; the CPU library is in the package.
  const flags = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const extra = { ONNXRUNTIME_NODE_INSTALL: 'skip' };
  // Standard output belongs to the command that follows: with --json it is one document.
  const status = await run('npm', ['install', ...flags], extra, 2);
  if (status !== 0) {
    process.stderr.write(
      `corral: npm install failed (exit code ${status}). Its message stands above; a registry that cannot be reached is the usual cause.\n`,
    );
    process.exit(status);
  }
  writeFileSync(stamp, lock);
  process.stderr.write(`corral: installed in ${Math.round((Date.now() - started) / 1000)} s\n`);
}

const [kind, ...args] = process.argv.slice(2);
const started = Date.now();
await install();
const installMs = String(Date.now() - started);
if (kind === 'run') process.exit(await run('npm', ['run', '--silent', ...args]));
if (kind === 'corral') {
  const main = join(root, 'packages', 'cli', 'src', 'main.ts');
  process.exit(await run('node', [main, ...args], { CORRAL_INSTALL_MS: installMs }));
}
process.stderr.write('usage: bootstrap.mjs run SCRIPT | corral COMMAND ...\n');
process.exit(2);
