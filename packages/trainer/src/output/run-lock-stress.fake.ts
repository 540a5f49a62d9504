// A process that takes and leaves the lock of a folder a few times, shouts when it is not alone, and dies with
// the lock in its hand. Started many times at once by run-lock.integration.ts:
//   node run-lock-stress.fake.ts FOLDER ROUNDS
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockOutput } from './run-lock.ts';

const [folder = '', rounds = '0'] = process.argv.slice(2);
const marker = join(folder, 'inside');

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Whoever is inside already, but for the dead. */
function enter(): number | null {
  try {
    writeFileSync(marker, String(process.pid), { flag: 'wx' });
    return null;
  } catch {
    const other = Number(readFileSync(marker, 'utf8'));
    writeFileSync(marker, String(process.pid));
    return isAlive(other) ? other : null;
  }
}

for (let round = 1; ; round += 1) {
  const lock = await lockOutput(folder, { waitMs: 30_000, pollMs: 1 });
  const other = enter();
  process.stdout.write(other === null ? 'alone\n' : `with ${other}\n`);
  await sleep(round % 3);
  if (round === Number(rounds)) process.kill(process.pid, 'SIGKILL');
  rmSync(marker);
  lock.close();
}
