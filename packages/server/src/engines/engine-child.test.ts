// What the child object makes of a process that reports trouble more than once. The process is a fake.
import { EventEmitter } from 'node:events';
import { expect, test, vi } from 'vitest';
import { EngineChild } from './engine-child.ts';

const fake = vi.hoisted(() => ({ process: null as unknown }));
vi.mock('node:child_process', () => ({ fork: () => fake.process }));

test('a second error of the process ends nothing but the child', async () => {
  const broken = new EventEmitter();
  fake.process = broken;
  const child = new EngineChild({ workerUrl: new URL('file:///worker.ts') });
  broken.emit('error', new Error('spawn failed'));
  expect(() => broken.emit('error', new Error('kill failed'))).not.toThrow();
  expect(await child.exited).toBe('spawn failed');
  expect(child.pid).toBeNull();
});
