// The engine child: one base model, one synchronous decode loop, JSON messages over the IPC channel of
// `fork`. It ends with its parent: when the channel closes, so does the process.
import { flushCompileCache } from 'node:module';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { toErrorPayload, type EngineMessage } from '@corral/contracts';
import { createEngineHost, type EngineHost } from './engine-host.ts';
import { openNativeLibrary } from './llama-cpp/native-library.ts';
import { checkModelFile } from './model-file.ts';

let unsent = 0;
let stopping = false;

function send(message: EngineMessage): void {
  // The parent may be gone between two steps; `disconnect` follows and ends the process.
  if (!process.connected) return;
  unsent++;
  process.send?.(message, () => {
    unsent--;
    exitWhenSent();
  });
}

/** exit() drops what the channel has not taken yet. */
function exitWhenSent(): void {
  if (stopping && unsent === 0) process.exit(0);
}

/** Quiet for so long, the engine does what can wait. */
const idleMs = 1000;

/** Sleeps until there is work; between steps, and between pieces of work ahead, it lets messages in. */
async function run(host: EngineHost, wake: { next: PromiseWithResolvers<void> }): Promise<never> {
  for (;;) {
    if (host.busy) {
      host.step();
      await nextTurn();
    } else if (host.prepare()) {
      await nextTurn();
    } else {
      wake.next = Promise.withResolvers();
      const { promise, resolve } = wake.next;
      const timer = setTimeout(() => {
        // Node writes compiled code when a process ends by itself; this one is often killed.
        flushCompileCache();
        if (host.idle()) resolve();
      }, idleMs);
      await promise;
      clearTimeout(timer);
    }
  }
}

function main(): void {
  if (!process.send) {
    process.stderr.write('This is the engine child: start it with fork, it talks over IPC.\n');
    process.exit(2);
  }
  process.title = 'corral-engine';
  const wake = { next: Promise.withResolvers<void>() };
  const host = createEngineHost({
    openLibrary: openNativeLibrary,
    checkFile: checkModelFile,
    send,
    stop: () => {
      stopping = true;
      exitWhenSent();
    },
  });
  process.on('message', (message) => {
    void host.handle(message).finally(() => wake.next.resolve());
  });
  // Ctrl-C reaches the whole group of processes; when to end is the parent's decision.
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit(0));
  const die = (error: unknown): void => {
    if (!process.connected) process.exit(1);
    process.send?.({ type: 'error', id: '', error: toErrorPayload(error), fatal: true }, () =>
      process.exit(1),
    );
  };
  process.on('uncaughtException', die);
  run(host, wake).catch(die);
}

main();
