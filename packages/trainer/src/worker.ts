// The trainer as a process: one command, one configuration file, JSON lines on stdout, an exit code.
// It is spawned by the server and by the command line, and runs alone as well:
//   worker.ts train   --config FILE --output DIR   RunEvents, one a line
//   worker.ts check   --config FILE [--preview N]  one DataReport; exit 1 when rows cannot be used
//   worker.ts preview --config FILE [--preview N]  the same with rendered examples (5)
//   worker.ts plan    --config FILE                one RunPlan
//   worker.ts export  --config FILE                phases, then one ExportResult
// Failures are one line {"type":"failed","error":…} on stdout and words on stderr. Exit codes:
// contracts' trainerExitCodes.
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CorralError, toErrorPayload, trainerExitCodes } from '@corral/contracts';
import { loadConfig, loadExportConfig } from './config/load-config.ts';
import { checkCommand } from './data/check-command.ts';
import { exportModel } from './export/export-model.ts';
import { openCausalLm } from './models/open-causal-lm.ts';
import { planRun } from './recipes/plan.ts';
import { runTraining } from './recipes/run-training.ts';

const usage = `usage: worker.ts train   --config FILE --output DIR
       worker.ts check   --config FILE [--preview N]
       worker.ts preview --config FILE [--preview N]
       worker.ts plan    --config FILE
       worker.ts export  --config FILE
`;

interface Arguments {
  readonly command: string;
  readonly config: string;
  readonly output: string | undefined;
  readonly preview: number | undefined;
}

const writeLine = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};

class UsageError extends Error {
  override readonly name = 'UsageError';
}

function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      output: { type: 'string' },
      preview: { type: 'string' },
    },
  });
  const [command] = positionals;
  if (command === undefined || positionals.length > 1) throw new UsageError('give one command');
  if (values.config === undefined) throw new UsageError('--config FILE is missing');
  const preview = values.preview === undefined ? undefined : Number(values.preview);
  if (preview !== undefined && !(Number.isInteger(preview) && preview >= 0 && preview <= 1000)) {
    throw new UsageError(`--preview takes a number from 0 to 1000, not "${values.preview}"`);
  }
  return { command, config: resolve(values.config), output: values.output, preview };
}

async function check({ config, preview }: Arguments, defaultPreview: number): Promise<number> {
  const report = await checkCommand(await loadConfig(config), {
    folder: dirname(config),
    preview: preview ?? defaultPreview,
  });
  writeLine(report);
  return report.error_count > 0 || report.examples === 0
    ? trainerExitCodes.failed
    : trainerExitCodes.finished;
}

/** Aborted by SIGTERM, SIGINT, or the end of the parent: its channel or its pipe closes. */
function pauseSignal(): AbortSignal {
  const controller = new AbortController();
  const pause = (): void => {
    controller.abort();
  };
  process.on('SIGTERM', pause);
  process.on('SIGINT', pause);
  process.on('disconnect', pause);
  if (process.env['CORRAL_PARENT'] === 'pipe') {
    process.stdin.on('end', pause).on('close', pause).on('error', pause).resume().unref();
  }
  // A parent that is gone reads no events; the log on disk has them.
  process.stdout.on('error', pause);
  return controller.signal;
}

async function train({ config, output }: Arguments): Promise<number> {
  if (output === undefined) throw new UsageError('--output DIR is missing');
  const signal = pauseSignal();
  const outcome = await runTraining(await loadConfig(config), {
    output: resolve(output),
    folder: dirname(config),
    signal,
    emit: (event) => {
      if (event.type !== 'failed') writeLine(event);
    },
    openModel: openCausalLm,
  });
  return trainerExitCodes[outcome];
}

async function plan({ config }: Arguments): Promise<number> {
  const options = { folder: dirname(config), openModel: openCausalLm };
  writeLine(await planRun(await loadConfig(config), options));
  return trainerExitCodes.finished;
}

async function exportCommand({ config }: Arguments): Promise<number> {
  let last = 0;
  const onProgress = (name: string, done: number, total: number): void => {
    const now = performance.now();
    if (done > 0 && done < total && now - last < 250) return;
    last = now;
    writeLine({ type: 'phase', name, done, total });
  };
  const signal = pauseSignal();
  writeLine(await exportModel(await loadExportConfig(config), { signal, onProgress }));
  return trainerExitCodes.finished;
}

const commands: Record<string, (args: Arguments) => Promise<number>> = {
  train,
  plan,
  export: exportCommand,
  check: (args) => check(args, 0),
  preview: (args) => check(args, 5),
};

function explain(error: unknown): number {
  if (error instanceof UsageError || (error instanceof TypeError && 'code' in error)) {
    process.stderr.write(`${error.message}\n${usage}`);
    return trainerExitCodes.misuse;
  }
  writeLine({ type: 'failed', error: toErrorPayload(error) });
  if (CorralError.isInstance(error)) {
    process.stderr.write(`${error.message}\n${error.next}\n`);
    return error.code === 'config_invalid' ? trainerExitCodes.misuse : trainerExitCodes.failed;
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return trainerExitCodes.failed;
}

async function main(): Promise<number> {
  const args = readArguments(process.argv.slice(2));
  const command = Object.hasOwn(commands, args.command) ? commands[args.command] : undefined;
  if (!command) throw new UsageError(`there is no command "${args.command}"`);
  return command(args);
}

process.exitCode = await main().catch(explain);
// Listeners on the parent's channel must not keep a finished worker.
if (process.connected) process.disconnect();
process.stdin.destroy();
