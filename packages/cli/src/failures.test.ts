import { CorralError } from '@corral/contracts';
import { APIConnectionError, APIError, APIUserAbortError } from 'openai';
import { describe, expect, it } from 'vitest';
import { CommandError, describeFailure, formatFailure, UsageError } from './failures.ts';

const headers = new Headers();
const systemError = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: no such thing`), { code, path });

describe('describeFailure', () => {
  it.each([
    ['misuse', new UsageError('bad', 'do'), { code: 'usage', exitCode: 2 }],
    ['a failure of ours', new CommandError('bad', 'do'), { code: 'command_failed', exitCode: 1 }],
    ['a wrong configuration', new CorralError('config_invalid'), { exitCode: 2 }],
    ['a failure of the table', new CorralError('missing_api_key'), { exitCode: 1 }],
    ['Ctrl-C', new CorralError('cancelled'), { exitCode: 130 }],
    ['Ctrl-C in the official client', new APIUserAbortError(), { exitCode: 130 }],
    ['no server', new APIConnectionError({}), { code: 'server_unreachable', exitCode: 1 }],
    ['a defect', new TypeError('x is not a function'), { code: 'internal_error', exitCode: 1 }],
    ['a thrown text', 'words', { code: 'internal_error', why: 'words' }],
  ])('of %s', (_, error, expected) => {
    expect(describeFailure(error)).toMatchObject(expected);
  });

  it('gives the next step of the table for errors of the official client', () => {
    const body = { code: 'invalid_api_key', message: 'The API key "x" is not known.' };
    const error = APIError.generate(401, { error: body }, undefined, headers);
    expect(describeFailure(error)).toMatchObject({
      code: 'invalid_api_key',
      why: 'The API key "x" is not known.',
      next: 'Create a key with "corral keys create", or read $CORRAL_HOME/credentials.json.',
    });
  });

  it('never shows a hole of a template', () => {
    const body = { code: 'training_failed', message: 'Training failed: no.' };
    const error = APIError.generate(500, { error: body }, undefined, headers);
    expect(describeFailure(error).next).not.toContain('{');
  });

  it.each(['ENOENT', 'EISDIR', 'ENOTDIR', 'EACCES', 'ENOSPC'])('names the file of %s', (code) => {
    const { why, next } = describeFailure(systemError(code, '/some/file'));
    expect(why).toContain('"/some/file"');
    expect(next).not.toBe('');
  });
});

it('is three lines: what, why, what to do', () => {
  const paint = { red: (text: string) => text, dim: (text: string) => text };
  const failure = { code: 'c', why: 'first\nsecond', next: 'This.', exitCode: 1 };
  expect(formatFailure('It did not work.', failure, paint)).toBe(
    '✗ It did not work.\n  Why: first\n       second\n  Do:  This.\n',
  );
});
