// Decides by content, never by name, what a model file is. Only GGUF and safetensors are read; everything
// else is refused with the name of what it is, because pickles (alone or inside archives) run code.
import type { ByteSource } from './byte-source.ts';
import { FormatError } from './format-error.ts';
import { maxSafetensorsHeaderBytes } from './limits.ts';

export type ModelFormat = 'gguf' | 'safetensors';

/** One character for each byte; TextDecoder's "latin1" is windows-1252 and would not do. */
const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Byte patterns at the start of files that are refused. */
const signatures: readonly { readonly starts: string; readonly found: string }[] = [
  {
    starts: 'PK\u0003\u0004',
    found: 'a zip archive (PyTorch .pt and .bin files are; a pickle is inside)',
  },
  { starts: 'PK\u0005\u0006', found: 'an empty zip archive' },
  { starts: '7z\u00bc\u00af\u0027\u001c', found: 'a 7z archive' },
  { starts: 'Rar!\u001a', found: 'a RAR archive' },
  { starts: '\u001f\u008b', found: 'gzip-compressed data' },
  { starts: 'BZh', found: 'bzip2-compressed data' },
  { starts: '\u00fd7zXZ', found: 'xz-compressed data' },
  { starts: '\u0028\u00b5\u002f\u00fd', found: 'zstd-compressed data' },
  { starts: '\u0089HDF\r\n\u001a\n', found: 'an HDF5 file (Keras weights)' },
  { starts: '\u0093NUMPY', found: 'a NumPy array' },
  { starts: 'ggjt', found: 'an old GGML file (ggjt)' },
  { starts: 'tjgg', found: 'an old GGML file (ggjt)' },
  { starts: 'lmgg', found: 'an old GGML file (ggml)' },
  { starts: 'fmgg', found: 'an old GGML file (ggmf)' },
  { starts: 'FUGG', found: 'a big-endian GGUF file' },
  { starts: '\u007fELF', found: 'a program (ELF)' },
  { starts: 'MZ', found: 'a program (Windows)' },
  { starts: '%PDF', found: 'a PDF' },
  { starts: '#!', found: 'a script' },
  { starts: '<', found: 'a web page (HTML or XML); the download was probably an error page' },
  {
    starts: 'version https://git-lfs',
    found: 'a Git LFS pointer; the weights themselves are missing',
  },
  { starts: '{', found: 'a JSON text' },
];

/** Protocol 2 to 5 begin with PROTO and their number; 0 and 1 begin with an opcode and end with STOP. */
async function looksLikePickle(source: ByteSource, head: string): Promise<boolean> {
  const protocol = head.charCodeAt(1);
  if (head.startsWith('\u0080') && protocol >= 2 && protocol <= 5) return true;
  const last = latin(await source.read(source.size - 1, 1));
  return last === '.' && /^(\(|\]|\}|c[\w.]+\n|[VSIFL]\S*\n)/.test(head);
}

const tarMagic = { offset: 257, text: 'ustar' };

async function describe(source: ByteSource, head: string): Promise<string> {
  if (source.size === 0) return 'an empty file';
  if (await looksLikePickle(source, head))
    return 'a Python pickle, which can run code when it is opened';
  if (head.slice(tarMagic.offset).startsWith(tarMagic.text)) return 'a tar archive';
  const known = signatures.find(({ starts }) => head.startsWith(starts));
  return known?.found ?? 'of no format that is known here';
}

/** The header length is possible, and the header begins as JSON does; a cut file still counts. */
function looksLikeSafetensors(head: Uint8Array): boolean {
  if (head.byteLength < 9 || head[8] !== 0x7b) return false;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  return length >= 2n && length <= BigInt(maxSafetensorsHeaderBytes);
}

/** 'gguf' or 'safetensors'; anything else is a FormatError `model_format_refused` that names what it is. */
export async function detectFormat(source: ByteSource): Promise<ModelFormat> {
  const bytes = await source.read(0, Math.min(source.size, 512));
  const head = latin(bytes);
  if (head.startsWith('GGUF')) return 'gguf';
  // A header length of 0x0280 or the like looks like a pickle's first bytes, so safetensors come first.
  if (looksLikeSafetensors(bytes)) return 'safetensors';
  throw new FormatError(await describe(source, head), {
    code: 'model_format_refused',
    path: source.name,
  });
}
