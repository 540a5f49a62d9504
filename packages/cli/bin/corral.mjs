#!/usr/bin/env node
// The `corral` command. Plain JavaScript, because it may be started by any Node from 20 on: when that
// Node is too old to run TypeScript unbuilt, the program is started again with the Node 24 of the npm
// package `node`. Knows nothing of the commands.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const needed = 24;
const main = join(dirname(fileURLToPath(import.meta.url)), '..', 'src', 'main.ts');

/** Path of the program inside the npm package `node`, or null when it is not installed. */
function bundledNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    return join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    return null;
  }
}

function restart() {
  const program = bundledNode();
  if (program === null) {
    process.stderr.write(
      `corral: this is Node ${process.versions.node}; Corral runs on Node ${needed} or newer.\n` +
        '  Why: the npm package "node", which brings Node 24, is not installed here.\n' +
        '  Do:  run "npm install" in the folder of Corral, or install Node 24.\n',
    );
    process.exit(1);
  }
  const child = spawn(program, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both processes: this one only waits, so that the exit code is the child's.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (!process.stdin.isTTY || signal !== 'SIGINT') child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`corral: ${program} does not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
}

if (Number(process.versions.node.split('.')[0]) >= needed) await import('../src/main.ts');
else restart();
