// `corral doctor`: what is wrong with this machine, and how to mend it.
import type { CommandSpec } from '../command-spec.ts';
import { show, type Context } from '../context.ts';
import { doctorChecks, type Finding, type Verdict } from '../doctor-checks.ts';
import { exitCodes } from '../failures.ts';
import { createProgress } from '../progress.ts';

function formatFindings(findings: readonly Finding[], { io }: Context): string {
  const { green, yellow, red, dim } = io.colors;
  const marks: Record<Verdict, string> = { ok: green('✓'), warn: yellow('!'), fail: red('✗') };
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, verdict, found, remedy }) => [
    `${marks[verdict]} ${name.padEnd(width)}  ${found}`,
    ...(remedy === null ? [] : [`  ${' '.repeat(width)}  ${dim('Do:')} ${remedy}`]),
  ]);
  const bad = findings.filter(({ verdict }) => verdict === 'fail').length;
  const end = bad === 0 ? green('Corral can work here.') : red(`${bad} to mend.`);
  return `${lines.join('\n')}\n\n${end}`;
}

async function doctor(context: Context): Promise<number> {
  using progress = createProgress(context.io);
  progress.update('looking at this machine');
  const findings = await Promise.all(doctorChecks.map((check) => check(context)));
  progress.close();
  const ok = findings.every(({ verdict }) => verdict !== 'fail');
  show(context, { ok, findings }, formatFindings(findings, context));
  return ok ? exitCodes.ok : exitCodes.failed;
}

export const doctorCommand: CommandSpec = {
  name: 'doctor',
  summary: 'look for what is wrong with this machine, with a remedy for each',
  examples: [
    { command: 'corral doctor', says: 'exit code 1 when something must be mended' },
    { command: 'corral doctor --json', says: 'for a report' },
  ],
  failure: 'The machine could not be examined.',
  run: doctor,
};
