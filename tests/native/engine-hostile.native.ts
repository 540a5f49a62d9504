// What an engine child must survive, and what must end it: hostile files and requests are answered with
// an error, a lost parent ends the child, a killed child fails its requests.
import { fork } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gguf } from '@corral/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
} from './engine-fixtures.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let good: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  good = folder.path('good.gguf');
  await writeTinyModel(good);
});
afterAll(() => folder[Symbol.asyncDispose]());

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );

describe('a file that is no model', () => {
  type Make = (path: string) => Promise<unknown>;
  const changed =
    (change: (bytes: Buffer) => Buffer): Make =>
    async (path) =>
      writeFile(path, change(await readFile(good)));
  const withKey =
    (key: string, value: number): Make =>
    (path) =>
      writeTinyModel(path, { metadata: [[key, gguf.uint32(value)]] });
  const cases: Record<string, readonly [code: string, make: Make]> = {
    missing: ['file_not_found', async () => {}],
    'a folder': ['model_file_invalid', (path) => mkdir(path)],
    empty: ['model_format_refused', (path) => writeFile(path, '')],
    'a pickle': ['model_format_refused', (path) => writeFile(path, Buffer.from('\x80\x02}q\x00.'))],
    noise: ['model_format_refused', (path) => writeFile(path, Buffer.alloc(4096, 0x5a))],
    'cut in the header': ['model_file_invalid', changed((bytes) => bytes.subarray(0, 300))],
    'cut in the weights': ['model_file_invalid', changed((bytes) => bytes.subarray(0, -1))],
    'of a thousand blocks': ['model_file_invalid', withKey('llama.block_count', 1000)],
    'without heads': ['model_file_invalid', withKey('llama.attention.head_count', 0)],
    'of another width': ['model_file_invalid', withKey('llama.embedding_length', 128)],
    'of an unknown architecture': [
      'model_file_invalid',
      (path) => writeTinyModel(path, { metadata: [['general.architecture', gguf.string('zzz')]] }),
    ],
    'an adapter': ['model_file_invalid', (path) => writeTinyAdapter(path, { seed: 1 })],
  };

  it('is refused with a stable code by a child that can then load a good one', async () => {
    await using engine = await startEngine();
    for (const [name, [code, make]] of Object.entries(cases)) {
      const path = folder.path(name);
      await make(path);
      const found = await codeOf(engine.call({ type: 'load', model_path: path }));
      expect([name, found]).toEqual([name, code]);
    }
    expect(await engine.call({ type: 'load', model_path: good })).toMatchObject({
      architecture: 'llama',
    });
  });

  it('is no adapter either', async () => {
    await using engine = await startEngine(good);
    const wide = folder.path('wide.gguf');
    await writeTinyAdapter(wide, { seed: 1, width: 128 });
    const load = (path: string) =>
      codeOf(engine.call({ type: 'load_adapter', adapter_id: path, path }));
    expect(await load(good)).toBe('model_file_invalid');
    expect(await load(wide)).toBe('model_file_invalid');
    expect(await load(folder.path('nothing'))).toBe('file_not_found');
    expect((await engine.generate('hello')).tokens).toHaveLength(24);
  });
});

describe('options out of proportion', () => {
  it.each([{ n_ctx: 2 ** 30 }, { n_ctx: 2 ** 30, n_seq_max: 256 }])('%j', async (options) => {
    await using engine = await startEngine();
    const path = folder.path('long.gguf');
    // A header that claims a context of 2^30 tokens: only memory can say no.
    await writeTinyModel(path, { metadata: [['llama.context_length', gguf.uint32(2 ** 30)]] });
    const code = await codeOf(engine.call({ type: 'load', model_path: path, options }));
    expect(code).toBe('memory_too_small');
  });
});

describe('weights that are not numbers', () => {
  it('end the request with a reason, not with nonsense', async () => {
    const path = folder.path('nan.gguf');
    await writeTinyModel(path, { spread: Number.NaN });
    await using engine = await startEngine(path);
    await expect(engine.generate('hello')).rejects.toThrow(/not finite/);
  });
});

describe('a hostile request', () => {
  it('is refused, and the child goes on', async () => {
    await using engine = await startEngine(good);
    const tokens = (list: number[]) =>
      engine.generate('', { prompt: { kind: 'tokens', tokens: list } });
    expect(await codeOf(tokens([1_000_000]))).toBe('invalid_request');
    expect(await codeOf(tokens([-5]))).toBe('invalid_request');
    expect(await codeOf(engine.generate(''))).toBe('invalid_request');
    expect(await codeOf(engine.generate('a'.repeat(1 << 20)))).toBe('context_length_exceeded');
    expect(await codeOf(engine.generate('a', { max_tokens: 1_000_000 }))).toBe(
      'context_length_exceeded',
    );
    const deep = { prompt: { kind: 'messages' as const, messages: [] } };
    expect(await codeOf(engine.generate('', deep))).toBe('invalid_request');
    expect((await engine.generate('hello')).tokens).toHaveLength(24);
  });
});

describe('re-encoding', () => {
  it('makes a Q8_0 that serves, needs no model, and refuses what is no model', async () => {
    await using engine = await startEngine();
    const target = folder.path('q8.gguf');
    const quantize = (source: string, to: string) =>
      engine.call({ type: 'quantize', source, target: to, ftype: 'q8_0' });
    await quantize(good, target);
    expect((await stat(target)).size).toBeLessThan((await stat(good)).size / 2);
    expect(await codeOf(quantize(folder.path('nothing'), target))).toBe('file_not_found');
    expect(await codeOf(quantize(good, folder.path('no/such/folder.gguf')))).toBe(
      'model_file_invalid',
    );
    await engine.call({ type: 'load', model_path: target, options: { n_ctx: 256, n_threads: 1 } });
    const { tokens } = await engine.generate('hello');
    expect(tokens).toHaveLength(24);
  });
});

describe('the life of a child', () => {
  it('ends with shutdown, after the answer', async () => {
    await using engine = await startEngine(good);
    expect(await engine.call({ type: 'shutdown' })).toEqual({});
    expect(await engine.exited).toBe(0);
  });

  it('ends with its parent', async () => {
    const parent = folder.path('parent.mjs');
    const worker = fileURLToPath(import.meta.resolve('@corral/engine/worker'));
    await writeFile(
      parent,
      `import { fork } from 'node:child_process';
       const child = fork(${JSON.stringify(worker)}, [], { execArgv: [] });
       child.on('message', () => process.send(child.pid));
       child.send({ type: 'load', id: '1', model_path: ${JSON.stringify(good)} });`,
    );
    const process_ = fork(parent, [], { execPath: process.execPath, execArgv: [] });
    const pid = await new Promise<number>((resolve) => {
      process_.once('message', (message) => resolve(Number(message)));
    });
    const alive = (): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    expect(alive()).toBe(true);
    process_.kill('SIGKILL');
    for (let i = 0; i < 100 && alive(); i++) await sleep(50);
    expect(alive()).toBe(false);
  });

  it('fails what was running when it is killed', async () => {
    await using engine = await startEngine(good);
    const running = engine.generate('hello', { max_tokens: 240 }, () => {
      engine.process.kill('SIGKILL');
    });
    await expect(running).rejects.toThrow(/SIGKILL/);
    expect(await engine.exited).toBe('SIGKILL');
  });

  it('uses no processor while it has nothing to do', async () => {
    await using engine = await startEngine(good);
    await engine.generate('hello');
    // utime and stime, in ticks of 10 ms.
    const ticks = async (): Promise<number> => {
      const text = await readFile(`/proc/${engine.process.pid}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return Number(fields[11]) + Number(fields[12]);
    };
    const before = await ticks();
    await sleep(500);
    expect((await ticks()) - before).toBeLessThanOrEqual(10);
  });
});
