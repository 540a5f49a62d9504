// Calls out of streamed text: the same whatever way it is cut, content kept, nothing of a marker shown.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ToolCallDelta } from '@corral/contracts';
import { createToolCallParser, type ToolCallSyntax } from './tool-call-parser.ts';

const tags: ToolCallSyntax = { markers: ['<tool_call>'], atStart: false, partOfCall: false };
const bare: ToolCallSyntax = {
  markers: ['{"name": "add"', '{"type": "function", "name": "add"'],
  atStart: true,
  partOfCall: true,
};

interface Call {
  id: string;
  name: string;
  arguments: string;
}

/** Puts deltas together as a client does. */
function assemble(deltas: readonly ToolCallDelta[]): Call[] {
  const calls: Call[] = [];
  for (const { index, id, name, arguments: piece } of deltas) {
    if (id !== undefined) calls[index] = { id, name: name ?? '', arguments: '' };
    const call = calls[index];
    if (!call) throw new Error('arguments before the call');
    call.arguments += piece;
  }
  return calls;
}

function parse(pieces: readonly string[], syntax = tags, callsOnly = false) {
  let ids = 0;
  const parser = createToolCallParser(syntax, { callsOnly, newId: () => `id${ids++}` });
  const parts = pieces.map((piece) => parser.push(piece));
  const text = parts.map((part) => part.text).join('') + parser.flush();
  return { text, calls: assemble(parts.flatMap((part) => part.calls)), parts };
}

/** `text` cut after random characters. */
const cutAt = (text: string, places: readonly number[]): string[] => {
  const ends = [...new Set(places.map((place) => place % (text.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  return [...ends, text.length].map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end));
};

const wrap = (name: string, value: unknown, indent = 0): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${JSON.stringify(value, null, indent)}}\n</tool_call>`;

describe('createToolCallParser', () => {
  it('gives content and calls, whatever way the text is cut', () => {
    const call = fc.record({
      name: fc.constantFrom('add', 'get_weather', 'a.b-c'),
      value: fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })),
    });
    fc.assert(
      fc.property(
        fc.constantFrom('', 'Let me see.', 'a < b <tool', 'x\n<tool_cal '),
        fc.array(call, { maxLength: 3 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.constantFrom(0, 2),
        (content, calls, places, indent) => {
          const text = [content, ...calls.map(({ name, value }) => wrap(name, value, indent))].join(
            '\n',
          );
          const found = parse(cutAt(text, places));
          expect(found.text.trimEnd()).toBe(content.trimEnd());
          expect(found.calls).toEqual(
            calls.map(({ name, value }, i) => ({
              id: `id${i}`,
              name,
              arguments: JSON.stringify(value, null, indent),
            })),
          );
        },
      ),
    );
  });

  it('streams content and arguments as they come', () => {
    const { parts } = parse([
      'Hello',
      ' there <',
      'b',
      '<tool_call>{"name": "add", "arguments": {"a"',
      ': 1',
      '2}}',
    ]);
    expect(parts.map(({ text }) => text)).toEqual(['Hello', ' there', ' <b', '', '', '']);
    expect(parts.map(({ calls }) => calls.map((delta) => delta.arguments))).toEqual([
      [],
      [],
      [],
      ['', '{"a"'],
      [': 1'],
      ['2}'],
    ]);
  });

  it('passes text without calls whole', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('<', 'tool_call', '>', ' ', '\n', 'é', '{"name"')),
        (pieces) => {
          const text = pieces.join('');
          fc.pre(!text.includes('<tool_call>'));
          expect(parse(pieces)).toMatchObject({ text, calls: [] });
        },
      ),
    );
  });

  it('ends a call where the text was cut off', () => {
    expect(parse(['<tool_call>\n{"name": "add", "arguments": {"a": "}']).calls).toEqual([
      { id: 'id0', name: 'add', arguments: '{"a": "}' },
    ]);
    expect(parse(['<tool_call>\n{"name": "ad']).calls).toEqual([]);
  });

  it('reads calls that begin the answer without a marker', () => {
    const text = ' {"name": "add", "parameters": {"a": "}{"}}; {"name": "sub", "parameters": {}}';
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 9 }), (places) => {
        const { text: content, calls } = parse(cutAt(text, places), bare);
        expect(content).toBe('');
        expect(calls.map(({ name, arguments: given }) => [name, given])).toEqual([
          ['add', '{"a": "}{"}'],
          ['sub', '{}'],
        ]);
      }),
    );
    expect(
      parse(['{"type": "function", "name": "add", "parameters": {}}'], bare).calls,
    ).toHaveLength(1);
  });

  it('leaves other JSON, and a call behind text, as content', () => {
    for (const text of ['{"name": "Ann"}', 'See: {"name": "add", "parameters": {}}', '{"na'])
      expect(parse(Array.from(text), bare)).toMatchObject({ text, calls: [] });
  });

  it('takes an answer of calls only from its first character', () => {
    const found = parse(['{"name": "x", "arguments": {"n": 1}}'], tags, true);
    expect(found).toMatchObject({ text: '', calls: [{ name: 'x', arguments: '{"n": 1}' }] });
  });
});
