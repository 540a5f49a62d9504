// A file is what its content says, whatever its name.
import { describe, expect, test } from 'vitest';
import { memorySource } from './byte-source.ts';
import { detectFormat } from './detect-format.ts';
import { rawGguf, RawFile, rawSafetensors } from './raw-file.fake.ts';

const detect = (bytes: Uint8Array, name = 'model.safetensors'): Promise<string> =>
  detectFormat(memorySource(bytes, name));

const text = (value: string): Uint8Array =>
  Uint8Array.from(value, (letter) => letter.charCodeAt(0));

/** `python3 -c 'import pickle; print(pickle.dumps(print, PROTOCOL))'` */
const pickles = {
  0: text('c__builtin__\nprint\np0\n.'),
  2: text('\x80\x02c__builtin__\nprint\nq\x00.'),
  4: text('\x80\x04\x95\x16\0\0\0\0\0\0\0\x8c\x08builtins\x94\x8c\x05print\x94\x93\x94.'),
};

describe('detectFormat', () => {
  test('knows GGUF and safetensors', async () => {
    expect(await detect(rawGguf(0, 0).bytes(), 'weights.bin')).toBe('gguf');
    expect(await detect(rawSafetensors('{}', 0), 'weights.bin')).toBe('safetensors');
    // 640 = 0x0280: the bytes 80 02 that begin a pickle.
    expect(await detect(rawSafetensors(`{${' '.repeat(638)}}`, 0))).toBe('safetensors');
  });

  test.each([
    ['a pickle of protocol 0', pickles[0], /pickle/],
    ['a pickle of protocol 2', pickles[2], /pickle/],
    ['a pickle of protocol 4', pickles[4], /pickle/],
    ['a torch archive', text('PK\x03\x04\x14\0\0\0archive/data.pkl'), /zip archive/],
    ['a 7z archive', text('7z\xbc\xaf\x27\x1c\0\x04'), /7z archive/],
    ['an HDF5 file', text('\x89HDF\r\n\x1a\n\0'), /HDF5/],
    ['a gzip file', text('\x1f\x8b\x08\0'), /gzip/],
    ['a tar archive', new RawFile().zeros(257).text('ustar').zeros(250).bytes(), /tar archive/],
    ['a web page', text('<!DOCTYPE html><html>'), /web page/],
    ['an LFS pointer', text('version https://git-lfs.github.com/spec/v1\n'), /LFS pointer/],
    ['a program', text('\x7fELF\x02\x01'), /program/],
    ['nothing', new Uint8Array(0), /empty file/],
    ['noise', text('qwertzuiop'), /no format that is known/],
  ])('refuses %s that is named .safetensors', async (_, bytes, says) => {
    const refusal = detect(bytes);
    await expect(refusal).rejects.toMatchObject({
      code: 'model_format_refused',
      path: 'model.safetensors',
    });
    await expect(refusal).rejects.toThrow(says);
  });
});
