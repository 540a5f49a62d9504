// Entry of the `corral` command: this process's terminal, environment and signals around the table of
// commands. Everything else is told what it needs.
import { readFileSync } from 'node:fs';
import { createChildren } from './children.ts';
import { commandTable } from './command-table.ts';
import { homeOf } from './context.ts';
import { exitCodes } from './failures.ts';
import { processIo } from './io.ts';
import { runProgram } from './program.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string };

const stop = new AbortController();
const children = createChildren();
const io = processIo();
let interruptedAt: number | null = null;
// A terminal and a starting process may both pass on the same Ctrl-C; a person's second one comes later.
const samePressMs = 700;

async function interrupted(code: number) {
  if (interruptedAt !== null) {
    if (performance.now() - interruptedAt < samePressMs) return;
    children.kill();
    process.exit(code);
  }
  interruptedAt = performance.now();
  process.exitCode = code;
  stop.abort();
  // The running command unwinds by itself; what it left running ends here.
  await children.close();
  process.exit(code);
}

process.on('SIGINT', () => void interrupted(exitCodes.interrupted));
process.on('SIGTERM', () => void interrupted(143));
process.on('SIGHUP', () => void interrupted(129));
// `corral … | head` closes our stdout: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok);
});

const code = await runProgram(process.argv.slice(2), {
  commands: commandTable,
  version,
  context: { io, env: process.env, home: homeOf(process.env), signal: stop.signal, children },
});
if (interruptedAt === null) {
  await children.close();
  // Keep-alive sockets of the HTTP clients must not hold the terminal.
  process.exit(code);
}
