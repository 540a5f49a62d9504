// Runs a command of this clone on a machine that has nothing but Node >= 20 and npm: installs the
// locked dependencies when they are missing or stale, then hands over to the Node 24 that the npm
// package `node` brought. Knows nothing of what it starts.
import { spawnSync } from 'node:child_process';
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

/** @param {string} command @param {string[]} args @param {Record<string, string>} [extra] */
function run(command, args, extra = {}) {
  const bin = join(root, 'node_modules', '.bin');
  const env = { ...process.env, ...extra, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` };
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env, shell: windows });
  if (result.error) throw result.error;
  if (result.signal) process.kill(process.pid, result.signal);
  return result.status ?? 1;
}

function install() {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('corral: installing dependencies (once per clone) ...\n');
  const started = Date.now();
  // ONNX Runtime's install script would download CUDA libraries; the CPU library is in the package.
  const status = run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    ONNXRUNTIME_NODE_INSTALL: 'skip',
  });
  if (status !== 0) {
    process.stderr.write(
      `corral: npm ci failed (exit code ${status}). Its message stands above; a registry that cannot be reached is the usual cause.\n`,
    );
    process.exit(status);
  }
  writeFileSync(stamp, lock);
  process.stderr.write(`corral: installed in ${Math.round((Date.now() - started) / 1000)} s\n`);
}

const [kind, ...args] = process.argv.slice(2);
const started = Date.now();
install();
const installMs = String(Date.now() - started);
if (kind === 'run') process.exit(run('npm', ['run', '--silent', ...args]));
if (kind === 'corral') {
  const main = join(root, 'packages', 'cli', 'src', 'main.ts');
  process.exit(run('node', [main, ...args], { CORRAL_INSTALL_MS: installMs }));
}
process.stderr.write('usage: bootstrap.mjs run SCRIPT | corral COMMAND ...\n');
process.exit(2);
