// A process that takes a lock a few times, says when it is not alone, and leaves it in turn free or as somebody
// would who died with it; at last it does die with it. Started many times at once by home-lock.integration.ts:
//   node home-lock-stress.fake.ts LOCK ROUNDS
import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { acquireLock, type Lock } from './home-lock.ts';

const [path = '', rounds = '0'] = process.argv.slice(2);
const marker = `${path}-inside`;

/** Whether nobody else is inside. */
function enter(): boolean {
  try {
    writeFileSync(marker, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

async function acquire(): Promise<Lock> {
  for (;;) {
    try {
      return await acquireLock(path);
    } catch (error) {
      if (!CorralError.isInstance(error) || error.code !== 'home_in_use') throw error;
      await sleep(Math.random() * 3);
    }
  }
}

for (let round = 1; ; round += 1) {
  const lock = await acquire();
  process.stdout.write(enter() ? 'alone\n' : 'not alone\n');
  await sleep(round % 3);
  rmSync(marker, { force: true });
  if (round === Number(rounds)) process.kill(process.pid, 'SIGKILL');
  if (round % 4 === 0) await lock.release();
  else writeFileSync(path, '{"pid":1073741824,"started":null}');
}
