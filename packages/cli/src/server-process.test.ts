import { CorralError } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { endedEarly, localUrl } from './server-process.ts';

describe('endedEarly', () => {
  it('tells what is wrong from what to do in the server’s last line', () => {
    const error = new CorralError('port_in_use', {
      params: { port: 7788, host: '127.0.0.1', suggestion: 7789 },
    });
    expect(endedEarly(['', `${error.message} ${error.next}`])).toMatchObject({
      message: error.message,
      next: error.next,
    });
  });

  it('keeps words it does not know', () => {
    expect(endedEarly(['Segmentation fault'])).toMatchObject({ message: 'Segmentation fault' });
    expect(endedEarly([]).message).toContain('ended before it was ready');
  });
});

it.each([
  ['0.0.0.0', 'http://127.0.0.1:1'],
  ['::', 'http://127.0.0.1:1'],
  ['::1', 'http://[::1]:1'],
  ['localhost', 'http://localhost:1'],
])('a server on %s is reached at %s', (host, url) => expect(localUrl(host, 1)).toBe(url));
