import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CorralError,
  engineRequestSchema,
  errorCodes,
  errorTable,
  fromErrorPayload,
  idPrefixes,
  newId,
  runConfigSchema,
  toErrorBody,
  toErrorPayload,
  type IdKind,
} from './index.ts';

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? '');

describe('errors', () => {
  it.each(errorCodes)('%s fills every hole of its message and next step', (code) => {
    const { message, next } = errorTable[code];
    const params = Object.fromEntries(holes(message + next).map((name) => [name, `<${name}>`]));
    const error = new CorralError(code, { params });
    expect(holes(error.message)).toEqual([]);
    expect(holes(error.next)).toEqual([]);
    expect(error.next).toMatch(/\.$|PATH\.$/);
  });

  it('survives the way through another process', () => {
    const error = new CorralError('disk_too_small', {
      params: { path: '/x', available: '1 GB', needed: '2 GB', purpose: 'a test' },
      details: { bytes: 5 },
    });
    const copy = fromErrorPayload(JSON.parse(JSON.stringify(toErrorPayload(error))));
    expect(copy.message).toBe(error.message);
    expect(copy.details).toEqual({ bytes: 5 });
    expect(toErrorBody(copy, 'req_1').error).toEqual({
      message: error.message,
      type: 'server_error',
      param: null,
      code: 'disk_too_small',
    });
  });

  it('hides a foreign error behind internal_error', () => {
    expect(toErrorPayload(new TypeError('x')).code).toBe('internal_error');
  });
});

describe('ids', () => {
  it('carry the prefix of their kind and do not repeat', () => {
    const kinds = Object.keys(idPrefixes) as IdKind[];
    fc.assert(
      fc.property(fc.constantFrom(...kinds), (kind) => {
        const [first, second] = [newId(kind), newId(kind)];
        expect(first.slice(idPrefixes[kind].length)).toMatch(/^[A-Za-z0-9]{24}$/);
        expect(first.startsWith(idPrefixes[kind])).toBe(true);
        expect(first).not.toBe(second);
      }),
    );
  });
});

describe('run config', () => {
  it('fills every default from a model and a data file', () => {
    const config = runConfigSchema.parse({ model: 'base.gguf', data: { train: 'rows.jsonl' } });
    expect(config).toMatchObject({
      method: 'lora',
      lora: { rank: 16, target_modules: 'all-linear' },
      train: { learning_rate: 2e-4, schedule: 'cosine' },
      runtime: { device: 'auto' },
    });
  });

  it('refuses unknown keys and reports all problems at once', () => {
    const result = runConfigSchema.safeParse({
      model: 'm',
      data: { train: 't', shuffle: true },
      train: { epochs: -1 },
    });
    expect(result.error?.issues.map((issue) => issue.path.join('.'))).toEqual([
      'data',
      'train.epochs',
    ]);
  });
});

describe('engine messages', () => {
  it('fill sampling defaults of a bare generate request', () => {
    const request = engineRequestSchema.parse({
      type: 'generate',
      id: '1',
      tenant: 'p',
      prompt: { kind: 'text', text: 'x' },
      max_tokens: 4,
    });
    expect(request).toMatchObject({ adapter_id: null, sampling: { temperature: 1, top_k: 0 } });
  });
});
