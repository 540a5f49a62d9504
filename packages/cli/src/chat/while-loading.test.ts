// What is said of a model on its way, and that nothing of it is left when the answer comes.
import type { ServerStatus } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { keepingIo } from '../fakes/harness.fake.ts';
import { describeLoading, whileLoading } from './while-loading.ts';

type Engines = ServerStatus['engines'];
const engine = (base: string, state: Engines[number]['state'], done?: number): Engines[number] => ({
  base,
  kind: 'local',
  state,
  pid: 1,
  active: 0,
  queued: 1,
  adapters: 0,
  memory_bytes: 0,
  ...(done === undefined ? {} : { loading: { done_bytes: done, total_bytes: 200 } }),
});

describe('describeLoading', () => {
  it.each([
    [[engine('a', 'starting', 80)], 'a', 'loading a … 40 %'],
    [[engine('b', 'starting', 10), engine('a', 'starting', 300)], 'a', 'loading a … 100 %'],
    [[engine('a', 'starting', 80)], 'tuned', 'loading a … 40 %'],
    [[engine('a', 'waiting')], 'a', 'a waits for memory that other models use'],
    [[engine('a', 'ready'), engine('b', 'starting', 10)], 'a', undefined],
    [[], 'a', undefined],
  ])('says what keeps an answer (%#)', (engines, model, text) => {
    expect(describeLoading(engines, model)?.text).toBe(text);
  });
});

describe('whileLoading', () => {
  const statusOf = (engines: Engines) => () => Promise.resolve({ engines } as ServerStatus);

  it('shows it on a terminal until the answer begins, and takes it away', async () => {
    const { io, kept } = keepingIo();
    const shown = Promise.withResolvers<void>();
    const live = {
      ...io,
      live: true,
      err: (text: string) => {
        io.err(text);
        if (text.includes('loading a … 40 %')) shown.resolve();
      },
    };
    const options = { io: live, model: 'a', silentMs: 0 };
    const status = statusOf([engine('a', 'starting', 80)]);
    const answer = await whileLoading({ ...options, status }, async (begun) => {
      await shown.promise;
      begun();
      const before = kept.err;
      expect(before.endsWith('\r\u001b[2K')).toBe(true);
      return before;
    });
    expect(kept.err).toBe(answer);
  });

  it('says nothing elsewhere, and hands on what fails', async () => {
    const { io, kept } = keepingIo();
    const status = () => Promise.reject(new Error('not asked'));
    const failing = whileLoading({ io, model: 'a', status }, () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    const live = { io: { ...io, live: true }, model: 'a', status, silentMs: 0 };
    await expect(whileLoading(live, () => Promise.resolve(1))).resolves.toBe(1);
    expect(kept.err).toBe('');
  });
});
