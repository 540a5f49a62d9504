// A process that takes the lock of a folder a few times, says when it is not alone, and leaves it in turn free
// or as somebody would who died with it; at last it does die with it. Started many times at once by
// run-lock.integration.ts:
//   node run-lock-stress.fake.ts FOLDER ROUNDS
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockOutput } from './run-lock.ts';

const [folder = '', rounds = '0'] = process.argv.slice(2);
const marker = join(folder, 'inside');

/** Whether nobody else is inside. */
function enter(): boolean {
  try {
    writeFileSync(marker, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

for (let round = 1; ; round += 1) {
  const lock = await lockOutput(folder, { waitMs: 30_000, pollMs: 1 });
  process.stdout.write(enter() ? 'alone\n' : 'not alone\n');
  await sleep(round % 3);
  rmSync(marker, { force: true });
  if (round === Number(rounds)) process.kill(process.pid, 'SIGKILL');
  if (round % 4 === 0) lock.close();
  else writeFileSync(join(folder, '.lock'), '{"pid":1073741824,"start":""}');
}
