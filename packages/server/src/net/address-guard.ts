// Which addresses a request may go to that somebody else's words lead to: a redirect, a list of files, a host
// name whose answer changes. Public ones only, unless the operator named the endpoint. Checked where the
// socket is made, on the address that is then used, so that a name cannot change in between.
import { lookup as dnsLookup } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/**
 * Of IANA's special-purpose addresses (RFC 6890 and its updates) those behind which a service of this machine
 * or its network may listen, and multicast. Left out: ranges for documentation and benchmarks, which lead
 * nowhere by themselves; local proxies give them to names of the outside (198.18.0.0/15 above all).
 */
const ranges = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '224.0.0.0/3',
  '::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/32',
  '2002::/16',
  '5f00::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
] as const;

const special = new BlockList();
for (const range of ranges) {
  const [address = '', prefix] = range.split('/');
  special.addSubnet(address, Number(prefix), address.includes(':') ? 'ipv6' : 'ipv4');
}

/** The IPv4 address inside ::ffff:a.b.c.d and 64:ff9b::a.b.c.d, which is where such a request ends up. */
function embeddedIpv4(address: string): string | null {
  const groups = expand(address);
  const prefix = groups.slice(0, 6).join(':');
  if (prefix !== '0:0:0:0:0:ffff' && prefix !== '64:ff9b:0:0:0:0') return null;
  const [high, low] = [
    Number.parseInt(groups[6] ?? '0', 16),
    Number.parseInt(groups[7] ?? '0', 16),
  ];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Eight groups without leading zeros, by the URL parser's canonical form. */
function expand(address: string): string[] {
  const canonical = new URL(`http://[${address.split('%')[0] ?? ''}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const [left, right] = [head, tail ?? ''].map((part) => (part === '' ? [] : part.split(':')));
  const missing = 8 - (left?.length ?? 0) - (right?.length ?? 0);
  return [...(left ?? []), ...Array.from({ length: missing }, () => '0'), ...(right ?? [])];
}

/** False for loopback, private, link-local and every other address with a special purpose. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  if (family === 4) return !special.check(address, 'ipv4');
  const inner = embeddedIpv4(address);
  return inner === null ? !special.check(address, 'ipv6') : isPublicAddress(inner);
}

/** A literal address, or `localhost`: whoever writes it means it. */
export const isLiteralHost = (hostname: string): boolean =>
  hostname === 'localhost' || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;

class PrivateAddressError extends Error {
  override readonly name = 'PrivateAddressError';
  readonly code = 'ERR_PRIVATE_ADDRESS';
  constructor(host: string) {
    super(`"${host}" is at an address that is not public`);
  }
}

/** Throws for a literal address that is not public; host names are the look-up's to check. */
export function assertPublicHost(hostname: string): void {
  const bare = hostname.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0 && !isPublicAddress(bare)) throw new PrivateAddressError(hostname);
}

export type Resolve = (
  hostname: string,
  done: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

const resolveAll: Resolve = (hostname, done) =>
  dnsLookup(hostname, { all: true }, (error, addresses) => done(error, addresses));

/** For `net.connect`: refuses a name any of whose addresses is not public. */
export const publicLookup =
  (resolve: Resolve = resolveAll): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error || !first) {
        callback(error ?? new Error(`"${hostname}" has no address`), '', 0);
        return;
      }
      if (addresses.some(({ address }) => !isPublicAddress(address))) {
        callback(new PrivateAddressError(hostname), '', 0);
        return;
      }
      if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
