// Stage 1: a server of our own on a loopback port, or the one that already runs on this CORRAL_HOME.
import { join } from 'node:path';
import type { Credentials } from '@corral/contracts';
import type { Child } from '../children.ts';
import type { Context } from '../context.ts';
import { freePort, isPortFree, runningServer, startServer } from '../server-process.ts';
import type { Narrator } from './narrator.ts';

const usualPort = 7788;

export interface QuickstartServer {
  readonly credentials: Credentials;
  /** Null when it was running before us: then it is not ours to stop. */
  readonly child: Child | null;
}

export async function startStage(
  context: Context,
  narrator: Narrator,
  { keep }: { readonly keep: boolean },
): Promise<QuickstartServer> {
  narrator.stage('Start');
  const installed = Number(context.env['CORRAL_INSTALL_MS'] ?? 0) / 1000;
  if (installed >= 1) {
    narrator.done(`installed, with a Node ${process.versions.node} of its own`, installed);
  }
  const running = await runningServer(context);
  if (running !== null) {
    narrator.done(`the server at ${running.base_url} is used as it is`);
    narrator.book('start');
    return { credentials: running, child: null };
  }
  using progress = narrator.progress();
  progress.update('starting the server and its database');
  // A server that stays gets the address every later command expects, when it can.
  const port = keep && (await isPortFree(usualPort)) ? usualPort : await freePort();
  const warnings: string[] = [];
  const server = await startServer(context, {
    host: '127.0.0.1',
    port,
    keep,
    onLine: (line) => warnings.push(line),
  });
  progress.close();
  narrator.done(`server and database run, at ${server.credentials.base_url}`);
  for (const line of warnings) narrator.warn(line);
  const where = join(context.home, 'credentials.json');
  narrator.note(server.firstKey ? `admin key made and kept in ${where}` : `key from ${where}`);
  narrator.book('start');
  return { credentials: server.credentials, child: server.child };
}
