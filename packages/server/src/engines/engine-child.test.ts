// What the child object makes of a process that reports trouble more than once. The process is a fake.
import { EventEmitter } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { EngineChild } from './engine-child.ts';

const fake = vi.hoisted(() => ({ process: null as unknown }));
vi.mock('node:child_process', () => ({ fork: () => fake.process }));

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('a second error of the process ends nothing but the child', async () => {
  const broken = new EventEmitter();
  fake.process = broken;
  const child = new EngineChild({ workerUrl: new URL('file:///worker.ts') });
  broken.emit('error', new Error('spawn failed'));
  expect(() => broken.emit('error', new Error('kill failed'))).not.toThrow();
  expect(await child.exited).toBe('spawn failed');
  expect(child.pid).toBeNull();
});

test('the watchdog counts the silence of the child, not the sleep of its own process', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  let now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const kill = vi.fn<(signal: string) => void>();
  fake.process = Object.assign(new EventEmitter(), { connected: true, send: () => true, kill });
  const child = new EngineChild({ workerUrl: new URL('file:///worker.ts') });
  child.watch(400);
  child.request({ type: 'status' }).catch(() => undefined);
  const tick = (ms: number): void => {
    now += ms;
    vi.advanceTimersByTime(100);
  };
  tick(100);
  tick(60_000);
  expect(kill).not.toHaveBeenCalled();
  for (let i = 0; i < 4; i++) tick(100);
  expect(kill).toHaveBeenCalledWith('SIGKILL');
});
