// Every address that is not public is known as such, in every spelling; names are judged by where they lead.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assertPublicHost, isLiteralHost, isPublicAddress, publicLookup } from './address-guard.ts';

test.each([
  ['8.8.8.8', true],
  ['1.1.1.1', true],
  ['172.32.0.1', true],
  ['2606:4700::1111', true],
  ['::ffff:8.8.8.8', true],
  ['64:ff9b::808:808', true],
  ['127.0.0.1', false],
  ['127.255.255.254', false],
  ['0.0.0.0', false],
  ['10.1.2.3', false],
  ['100.64.0.1', false],
  ['169.254.169.254', false],
  ['172.16.0.1', false],
  ['192.168.1.1', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['::', false],
  ['::1', false],
  ['0:0:0:0:0:0:0:1', false],
  ['::ffff:127.0.0.1', false],
  ['::ffff:7f00:1', false],
  ['::ffff:a9fe:a9fe', false],
  ['64:ff9b::7f00:1', false],
  ['::127.0.0.1', false],
  ['fe80::1%eth0', false],
  ['fd00::1', false],
  ['ff02::1', false],
  ['2002:7f00:1::', false],
  ['no address', false],
])('%s: %s', (address, isPublic) => {
  expect(isPublicAddress(address)).toBe(isPublic);
});

test('an IPv4 address is judged alike inside IPv6', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(isPublicAddress(`::ffff:${address}`)).toBe(isPublicAddress(address));
    }),
  );
});

test('literal hosts are checked, names are left to the look-up', () => {
  expect(() => assertPublicHost('127.0.0.1')).toThrow('not public');
  expect(() => assertPublicHost('[::1]')).toThrow('not public');
  expect(() => assertPublicHost('example.org')).not.toThrow();
  expect(['localhost', '10.0.0.1', '[::1]', 'example.org'].map(isLiteralHost)).toEqual([
    true,
    true,
    true,
    false,
  ]);
});

describe('a look-up', () => {
  const found = (addresses: readonly string[], all = true) =>
    new Promise((resolve) => {
      const lookup = publicLookup((_, done) =>
        done(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        ),
      );
      lookup('name.example', { all }, (error, address) => resolve(error?.message ?? address));
    });

  test('gives public addresses', async () => {
    expect(await found(['8.8.8.8'])).toEqual([{ address: '8.8.8.8', family: 4 }]);
    expect(await found(['8.8.8.8'], false)).toBe('8.8.8.8');
  });

  test('refuses a name of which any address is private', async () => {
    expect(await found(['8.8.8.8', '10.0.0.1'])).toContain('not public');
    expect(await found([])).toContain('no address');
  });
});
