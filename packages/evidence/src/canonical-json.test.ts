// RFC 8785's own vectors, and the properties that make the text canonical.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, parseCanonicalJson } from './canonical-json.ts';

// RFC 8785, appendix B: IEEE 754 bits and the expected text.
const numberVectors = [
  ['0000000000000000', '0'],
  ['8000000000000000', '0'],
  ['0000000000000001', '5e-324'],
  ['8000000000000001', '-5e-324'],
  ['7fefffffffffffff', '1.7976931348623157e+308'],
  ['ffefffffffffffff', '-1.7976931348623157e+308'],
  ['4340000000000000', '9007199254740992'],
  ['c340000000000000', '-9007199254740992'],
  ['4430000000000000', '295147905179352830000'],
  ['44b52d02c7e14af5', '9.999999999999997e+22'],
  ['44b52d02c7e14af6', '1e+23'],
  ['44b52d02c7e14af7', '1.0000000000000001e+23'],
  ['444b1ae4d6e2ef4e', '999999999999999700000'],
  ['444b1ae4d6e2ef4f', '999999999999999900000'],
  ['444b1ae4d6e2ef50', '1e+21'],
  ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
  ['3eb0c6f7a0b5ed8d', '0.000001'],
  ['41b3de4355555553', '333333333.3333332'],
  ['41b3de4355555554', '333333333.33333325'],
  ['41b3de4355555555', '333333333.3333333'],
  ['41b3de4355555556', '333333333.3333334'],
  ['41b3de4355555557', '333333333.33333343'],
  ['becbf647612f3696', '-0.0000033333333333333333'],
  ['43143ff3c1cb0959', '1424953923781206.2'],
] as const;

const fromBits = (hex: string): number => Buffer.from(hex, 'hex').readDoubleBE();

describe('canonicalJson', () => {
  it.each(numberVectors)('writes the double %s as %s', (bits, text) => {
    expect(canonicalJson(fromBits(bits))).toBe(text);
  });

  it('writes the sample of RFC 8785 3.2.2', () => {
    const input: unknown = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    );
    expect(canonicalJson(input)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('orders keys by UTF-16 code units, as the sample of RFC 8785 3.2.3', () => {
    const keys = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const text = canonicalJson(Object.fromEntries(keys.map((key, at) => [key, at])));
    expect([...text.matchAll(/:(\d)/g)].map(([, at]) => Number(at))).toEqual([1, 3, 5, 6, 0, 4, 2]);
  });

  it('is a fixed point of parsing and does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(parseCanonicalJson(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(fc.string(), fc.nat()), { selector: ([k]) => k }),
        (members) => {
          expect(canonicalJson(Object.fromEntries(members.toReversed()))).toBe(
            canonicalJson(Object.fromEntries(members)),
          );
        },
      ),
    );
  });

  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  it.each([
    ['NaN', { a: [Number.NaN] }, '.a[0]'],
    ['Infinity', Number.POSITIVE_INFINITY, 'The value'],
    ['undefined members', { a: undefined }, '.a'],
    ['holes', [1, undefined], '[1]'],
    ['bigint', { a: 1n }, '.a'],
    ['functions', { a: () => 1 }, '.a'],
    ['dates', { a: new Date(0) }, '.a'],
    ['lone surrogates', { a: 'x\ud800' }, '.a'],
    ['lone surrogates in keys', { '\udc00': 1 }, ''],
    ['cycles', cycle, 'nested deeper'],
  ])('refuses %s and says where', (_, value, where) => {
    expect(() => canonicalJson(value)).toThrow(
      expect.objectContaining({ code: 'value_refused', message: expect.stringContaining(where) }),
    );
  });
});

describe('parseCanonicalJson', () => {
  it.each([' 1', '{"b":1,"a":2}', '{"a":1,"a":1}', '1.0', '"\\u0041"', '[1,]', '', '"\\ud800"'])(
    'refuses %j',
    (text) => {
      expect(() => parseCanonicalJson(text)).toThrow(
        expect.objectContaining({ code: 'not_canonical' }),
      );
    },
  );
});
