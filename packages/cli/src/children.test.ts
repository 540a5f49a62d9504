import { describe, expect, it } from 'vitest';
import { createChildren } from './children.ts';

const node = process.execPath;
const untilSpoken = (child: ReturnType<ReturnType<typeof createChildren>['spawn']>) =>
  new Promise((resolve) => child.process.stdout?.once('data', resolve));

describe('children', () => {
  it('tells how a child ended', async () => {
    await using children = createChildren();
    const child = children.spawn(node, ['--eval', 'process.exit(7)']);
    expect(await child.exited).toEqual({ code: 7, signal: null });
    expect(child.running).toBe(false);
  });

  it('tells of a program that does not exist', async () => {
    await using children = createChildren();
    const child = children.spawn('/no/such/program', []);
    expect(await child.exited).toEqual({ code: null, signal: null });
    await child.close();
  });

  it('asks first, then kills', async () => {
    await using children = createChildren();
    const deaf = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')`;
    const child = children.spawn(node, ['--eval', deaf], { graceMs: 50 });
    await untilSpoken(child);
    await Promise.all([child.close(), child.close()]);
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('leaves none behind when it closes', async () => {
    const children = createChildren();
    const wait = `setInterval(() => {}, 1000); console.log('up')`;
    const all = [1, 2].map(() => children.spawn(node, ['--eval', wait]));
    await Promise.all(all.map(untilSpoken));
    await children.close();
    expect(all.map(({ running }) => running)).toEqual([false, false]);
  });
});
