import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig, settings } from './config.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'corral-test-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe('configuration', () => {
  it('has defaults that need nothing from the environment', () => {
    const config = loadConfig({ environment: { CORRAL_HOME: home } });
    expect(config).toMatchObject({ home, host: '127.0.0.1', port: 7788 });
    expect(config.database).toMatchObject({ driver: 'auto' });
  });

  it('takes flags over environment over file over defaults', () => {
    writeFileSync(join(home, 'config.yaml'), 'port: 1001\nhost: ::1\nlimits:\n  file_bytes: 5\n');
    const environment = {
      CORRAL_HOME: home,
      CORRAL_PORT: '1002',
      CORRAL_LIMITS_BODY_BYTES: '2048',
    };
    const config = loadConfig({ environment, overrides: { host: '0.0.0.0' } });
    expect(config).toMatchObject({ port: 1002, host: '0.0.0.0' });
    expect(config.limits).toMatchObject({ file_bytes: 5, body_bytes: 2048 });
  });

  it('reads DATABASE_URL, and CORRAL_DATABASE_URL before it', () => {
    const environment = { CORRAL_HOME: home, DATABASE_URL: 'postgres://a/b' };
    expect(loadConfig({ environment }).database.url).toBe('postgres://a/b');
    const both = { ...environment, CORRAL_DATABASE_URL: 'postgresql://c/d' };
    expect(loadConfig({ environment: both }).database.url).toBe('postgresql://c/d');
  });

  it('names every wrong setting at once, unknown keys too', () => {
    writeFileSync(join(home, 'config.yaml'), 'prot: 1\nport: 70000\nlog: { level: loud }\n');
    expect(() => loadConfig({ environment: { CORRAL_HOME: home } })).toThrow(
      /port:[^]*log\.level:[^]*prot/,
    );
    writeFileSync(join(home, 'config.yaml'), 'port: [1');
    expect(() => loadConfig({ environment: { CORRAL_HOME: home } })).toThrow(/config\.yaml/);
    const missing = { CORRAL_HOME: home, CORRAL_CONFIG: join(home, 'none.yaml') };
    expect(() => loadConfig({ environment: missing })).toThrow(/none\.yaml/);
  });

  it('takes mirrors and token from the variables that other tools know', () => {
    const environment = {
      CORRAL_HOME: home,
      HF_ENDPOINT: 'https://mirror.example/hub',
      HF_TOKEN: '1234',
      CORRAL_MODELSCOPE_ENDPOINT: 'http://127.0.0.1:1',
      CORRAL_PYPI_ENDPOINT: '',
    };
    expect(loadConfig({ environment }).sources).toEqual({
      hugging_face_endpoint: 'https://mirror.example/hub',
      hugging_face_token: '1234',
      modelscope_endpoint: 'http://127.0.0.1:1',
      trusted_hosts: [],
    });
    const wrong = { ...environment, HF_ENDPOINT: 'mirror.example' };
    expect(() => loadConfig({ environment: wrong })).toThrow(/sources\.hugging_face_endpoint/);
  });

  it('describes every setting and names its variable', () => {
    expect(settings.length).toBeGreaterThan(10);
    const names = settings.map(({ environment }) => environment);
    expect(new Set(names).size).toBe(names.length);
    for (const { key, environment, description } of settings) {
      const usual = `CORRAL_${key.replaceAll('.', '_').toUpperCase()}`;
      expect(key.startsWith('sources.') || environment === usual).toBe(true);
      expect(`${key}: ${description}`).toMatch(/: \S/);
    }
  });
});
