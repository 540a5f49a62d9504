// What the child object makes of a process that reports trouble more than once. The process is a fake.
import { EventEmitter } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { EngineChild } from './engine-child.ts';

const fake = vi.hoisted(() => ({ process: null as unknown, options: null as unknown }));
vi.mock('node:child_process', () => ({
  fork: (_entry: string, _arguments: string[], options: unknown) => {
    fake.options = options;
    return fake.process;
  },
}));

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
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

test('a child starts from compiled code where its server keeps some, and without its secrets', () => {
  vi.stubEnv('CORRAL_TEST_TOKEN', 'secret');
  fake.process = new EventEmitter();
  const workerUrl = new URL('file:///worker.ts');
  const environmentOf = (codeCache?: string): NodeJS.ProcessEnv => {
    void new EngineChild({ workerUrl, codeCache });
    return (fake.options as { env: NodeJS.ProcessEnv }).env;
  };
  expect(environmentOf('/home/cache')).toMatchObject({ NODE_COMPILE_CACHE: '/home/cache' });
  expect(environmentOf()['NODE_COMPILE_CACHE']).toBe(process.env['NODE_COMPILE_CACHE']);
  expect(environmentOf()).not.toHaveProperty('CORRAL_TEST_TOKEN');
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
