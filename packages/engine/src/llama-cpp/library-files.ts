// Finds llama.cpp's shared libraries in the installed platform package. Knows package and file names,
// never what is inside.
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CorralError } from '@corral/contracts';

export interface LibraryFiles {
  /** Where the CPU variants lie that ggml chooses from. */
  readonly folder: string;
  readonly ggmlBase: string;
  readonly ggml: string;
  readonly llama: string;
}

/** `${platform}-${arch}` of Node → package of the prebuilt libraries. */
const packages: Readonly<Record<string, string>> = {
  'linux-x64': '@node-llama-cpp/linux-x64',
  'linux-arm64': '@node-llama-cpp/linux-arm64',
  'linux-arm': '@node-llama-cpp/linux-armv7l',
  'darwin-arm64': '@node-llama-cpp/mac-arm64-metal',
  'darwin-x64': '@node-llama-cpp/mac-x64',
  'win32-x64': '@node-llama-cpp/win-x64',
  'win32-arm64': '@node-llama-cpp/win-arm64',
};

const missing = (reason: string, cause?: unknown): CorralError =>
  new CorralError('native_library_missing', { params: { component: 'the engine', reason }, cause });

/** File of a library among `files`: `libllama.v0.5.0.so`, `libllama.dylib`, `llama.dll` are all "llama". */
export function pickLibrary(files: readonly string[], name: string): string | undefined {
  const pattern = new RegExp(`^(lib)?${name}(\\.v?\\d[\\w.]*)?\\.(so|dylib|dll)$`);
  return files.find((file) => pattern.test(file));
}

function packageFolder(name: string): string {
  try {
    return join(dirname(fileURLToPath(import.meta.resolve(name))), '..');
  } catch (error) {
    throw missing(`the package ${name} is not installed; run "npm install"`, error);
  }
}

function inFolder(folder: string): LibraryFiles | undefined {
  const files = readdirSync(folder);
  const [ggmlBase, ggml, llama] = ['ggml-base', 'ggml', 'llama'].map((name) =>
    pickLibrary(files, name),
  );
  if (ggmlBase === undefined || ggml === undefined || llama === undefined) return undefined;
  return {
    folder,
    ggmlBase: join(folder, ggmlBase),
    ggml: join(folder, ggml),
    llama: join(folder, llama),
  };
}

/** The libraries for this machine; CorralError `native_library_missing` says what is lacking. */
export function findLibraryFiles(platform = `${process.platform}-${process.arch}`): LibraryFiles {
  const name = packages[platform];
  if (name === undefined) throw missing(`there are no prebuilt libraries for ${platform}`);
  const bins = join(packageFolder(name), 'bins');
  let folders: string[] = [];
  try {
    folders = readdirSync(bins);
  } catch (error) {
    throw missing(`the package ${name} has no folder "bins"`, error);
  }
  for (const folder of folders) {
    const found = inFolder(join(bins, folder));
    if (found) return found;
  }
  throw missing(`the package ${name} lacks libllama, libggml or libggml-base`);
}
