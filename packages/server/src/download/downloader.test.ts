// The downloader against a loopback server that misbehaves in every way the field has shown.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { downloadFile } from './downloader.ts';
import type { DownloadOptions, DownloadProgress } from './downloader.ts';
import { createHttpClient } from './http-client.ts';
import type { HttpClient } from './http-client.ts';
import { serveContent, startLoopbackSource } from './loopback-source.fake.ts';
import type { Handler } from './loopback-source.fake.ts';

const content = randomBytes(300_000);
const sha256 = createHash('sha256').update(content).digest('hex');

let folder: string;
let target: string;
let client: HttpClient;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-download-'));
  target = join(folder, 'weights.gguf');
  // Loopback, as an operator may name it.
  client = createHttpClient({ isTrusted: () => true });
});
afterEach(async () => {
  await client.close();
  await rm(folder, { recursive: true, force: true });
});

const whole: Handler = (request, response) => serveContent(request, response, content);
const options = (url: string, more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  url: `${url}/weights.gguf`,
  target,
  client,
  expectedSha256: sha256,
  maxBytes: 1_000_000,
  attempts: 3,
  backoffMs: 1,
  ...more,
});
const nothingLeft = (): void => {
  for (const path of [target, `${target}.part`, `${target}.part.json`]) {
    expect(existsSync(path)).toBe(false);
  }
};

describe('a source that behaves', () => {
  test('the file arrives whole, with its digest, and no part is left', async () => {
    await using source = await startLoopbackSource(whole);
    const seen: DownloadProgress[] = [];
    const result = await downloadFile(options(source.url, { onProgress: (p) => seen.push(p) }));
    expect(result).toEqual({ sha256, bytes: content.length, resumed_from: 0 });
    expect(await readFile(target)).toEqual(content);
    expect(existsSync(`${target}.part`)).toBe(false);
    expect(seen.at(-1)).toMatchObject({ bytes: content.length, total: content.length });
  });

  test('a digest is computed where none is expected', async () => {
    await using source = await startLoopbackSource(whole);
    const result = await downloadFile(options(source.url, { expectedSha256: null }));
    expect(result.sha256).toBe(sha256);
  });
});

describe('a source that fails', () => {
  test('a download cut at 50 % is resumed by Range', async () => {
    await using source = await startLoopbackSource((request, response, nth) =>
      serveContent(request, response, content, nth === 0 ? { cutAt: content.length / 2 } : {}),
    );
    const result = await downloadFile(options(source.url));
    expect(result.sha256).toBe(sha256);
    const second = source.requests[1]?.headers;
    expect(second?.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(second?.['if-range']).toBe('"v1"');
  });

  test('a later call continues where the earlier process stopped', async () => {
    await using source = await startLoopbackSource((request, response, nth) =>
      serveContent(request, response, content, nth === 0 ? { cutAt: 150_000 } : {}),
    );
    await expect(downloadFile(options(source.url, { attempts: 1 }))).rejects.toThrow(/./);
    const result = await downloadFile(options(source.url));
    expect(result.resumed_from).toBeGreaterThan(0);
    expect(await readFile(target)).toEqual(content);
  });

  test('a part of a known digest is continued from another source', async () => {
    await using first = await startLoopbackSource((request, response) =>
      serveContent(request, response, content, { cutAt: 100_000 }),
    );
    await expect(downloadFile(options(first.url, { attempts: 1 }))).rejects.toThrow(/./);
    await using second = await startLoopbackSource((request, response) =>
      serveContent(request, response, content, { etag: '"other"' }),
    );
    const result = await downloadFile(options(second.url));
    expect(result.resumed_from).toBeGreaterThan(0);
    expect(result.sha256).toBe(sha256);
    expect(second.requests[0]?.headers['if-range']).toBeUndefined();
  });

  test('bytes that changed at the source are not mixed: the whole file is taken again', async () => {
    const newer = randomBytes(content.length);
    await using source = await startLoopbackSource((request, response, nth) =>
      nth === 0
        ? serveContent(request, response, content, { cutAt: 100_000, etag: '"v1"' })
        : serveContent(request, response, newer, { etag: '"v2"' }),
    );
    await downloadFile(options(source.url, { expectedSha256: null }));
    expect(await readFile(target)).toEqual(newer);
  });

  test('a source that ignores Range is read from the start again', async () => {
    await using source = await startLoopbackSource((request, response, nth) => {
      delete request.headers.range;
      serveContent(request, response, content, nth === 0 ? { cutAt: 100_000 } : {});
    });
    expect((await downloadFile(options(source.url))).sha256).toBe(sha256);
  });

  test('a part damaged on disk is noticed and fetched again from zero', async () => {
    await using source = await startLoopbackSource((request, response, nth) =>
      serveContent(request, response, content, nth === 0 ? { cutAt: 100_000 } : {}),
    );
    await expect(downloadFile(options(source.url, { attempts: 1 }))).rejects.toThrow(/./);
    const part = await readFile(`${target}.part`);
    part[10] = (part[10] ?? 0) ^ 1;
    await writeFile(`${target}.part`, part);
    expect((await downloadFile(options(source.url))).sha256).toBe(sha256);
  });

  test.each([429, 500, 503])('status %i is tried again', async (status) => {
    await using source = await startLoopbackSource((request, response, nth) => {
      if (nth === 0) response.writeHead(status, { 'retry-after': '0' }).end('busy');
      else serveContent(request, response, content);
    });
    expect((await downloadFile(options(source.url))).sha256).toBe(sha256);
    expect(source.requests).toHaveLength(2);
  });

  test('status 404 and a host that does not listen end at once, with the reason', async () => {
    await using source = await startLoopbackSource((_, response) => {
      response.writeHead(404).end();
    });
    await expect(downloadFile(options(source.url))).rejects.toThrow('HTTP 404');
    expect(source.requests).toHaveLength(1);
    await expect(downloadFile(options('http://127.0.0.1:1'))).rejects.toThrow('connection refused');
  });

  test('endless failures end after the given attempts', async () => {
    await using source = await startLoopbackSource((_, response) => {
      response.writeHead(500).end();
    });
    await expect(downloadFile(options(source.url))).rejects.toThrow('HTTP 500');
    expect(source.requests).toHaveLength(3);
  });
});

describe('a source that lies', () => {
  test('a wrong digest is refused and nothing is left', async () => {
    await using source = await startLoopbackSource((request, response) =>
      serveContent(request, response, randomBytes(300_000)),
    );
    await expect(downloadFile(options(source.url))).rejects.toMatchObject({
      code: 'digest_mismatch',
    });
    nothingLeft();
  });

  test('a length other than the expected one is refused before a byte is written', async () => {
    await using source = await startLoopbackSource(whole);
    await expect(downloadFile(options(source.url, { expectedBytes: 17 }))).rejects.toThrow(
      '17 are expected',
    );
    expect(await readFile(`${target}.part`)).toHaveLength(0);
  });

  test('a body longer than the expected length is cut off', async () => {
    await using source = await startLoopbackSource((_, response) => {
      response.writeHead(200).end(content); // Chunked: no length said.
    });
    const call = downloadFile(options(source.url, { expectedBytes: 1000, expectedSha256: null }));
    await expect(call).rejects.toThrow('more than 1000 bytes');
  });

  test('a size beyond the limit is refused', async () => {
    await using source = await startLoopbackSource(whole);
    await expect(downloadFile(options(source.url, { maxBytes: 1000 }))).rejects.toThrow('limit');
  });

  test('redirects are followed a few times, and the token stays with its host', async () => {
    await using other = await startLoopbackSource(whole);
    await using source = await startLoopbackSource((_, response) => {
      response.writeHead(302, { location: `${other.url}/cdn` }).end();
    });
    await downloadFile(options(source.url, { token: 'secret' }));
    expect(source.requests[0]?.headers.authorization).toBe('Bearer secret');
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('a redirect to an address that is not public ends there, unless its host was named', async () => {
    await using inside = await startLoopbackSource(whole);
    const { port } = new URL(inside.url);
    for (const host of ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '2130706433']) {
      await using source = await startLoopbackSource((_, response) => {
        response.writeHead(302, { location: `http://${host}:${port}/secret` }).end();
      });
      const named = new Set([new URL(source.url).host]);
      const guarded = createHttpClient({ isTrusted: (url) => named.has(url.host) });
      const call = downloadFile(options(source.url, { client: guarded }));
      await expect(call, host).rejects.toThrow(/not public/);
      await guarded.close();
    }
    expect(inside.requests).toEqual([]);
    expect(existsSync(target)).toBe(false);
  });

  test('a redirect loop ends', async () => {
    await using source = await startLoopbackSource((_, response) => {
      response.writeHead(302, { location: '/again' }).end();
    });
    await expect(downloadFile(options(source.url))).rejects.toThrow('redirects');
    expect(source.requests.length).toBeLessThan(10);
  });
});

test('a disk too small is said before bytes are written', async () => {
  await using source = await startLoopbackSource(whole);
  await expect(
    downloadFile(options(source.url, { measureFreeBytes: () => Promise.resolve(1000) })),
  ).rejects.toMatchObject({ code: 'disk_too_small' });
});

test('a cancelled download keeps its bytes for the next call', async () => {
  await using source = await startLoopbackSource((request, response, nth) => {
    if (nth > 0) serveContent(request, response, content);
    else {
      response.writeHead(200, { etag: '"v1"', 'content-length': content.length });
      response.write(content.subarray(0, 100_000));
    }
  });
  const abort = new AbortController();
  const call = downloadFile(
    options(source.url, { signal: abort.signal, onProgress: () => abort.abort() }),
  );
  await expect(call).rejects.toMatchObject({ code: 'cancelled' });
  const result = await downloadFile(options(source.url));
  expect(result.resumed_from).toBeGreaterThan(0);
});
