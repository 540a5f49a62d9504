// Finding the shared libraries on different platforms.
import { CorralError } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { findLibraryFiles, pickLibrary } from './library-files.ts';

describe('pickLibrary', () => {
  const linux = [
    'libggml-base.so',
    'libggml-cpu-x64.so',
    'libggml.v0.5.0.so',
    'libllama-common.so',
    'libllama.v0.5.0.so',
    'llama-addon.node',
  ];

  it('finds a library by its name, whatever the version in it', () => {
    expect(pickLibrary(linux, 'llama')).toBe('libllama.v0.5.0.so');
    expect(pickLibrary(linux, 'ggml')).toBe('libggml.v0.5.0.so');
    expect(pickLibrary(linux, 'ggml-base')).toBe('libggml-base.so');
  });

  it('knows the names of other platforms', () => {
    expect(pickLibrary(['libllama.dylib'], 'llama')).toBe('libllama.dylib');
    expect(pickLibrary(['llama.dll', 'llama.lib'], 'llama')).toBe('llama.dll');
  });
});

describe('findLibraryFiles', () => {
  const codeOf = (platform: string): string => {
    try {
      findLibraryFiles(platform);
      return 'found';
    } catch (error) {
      return CorralError.isInstance(error) ? `${error.code}: ${error.message}` : String(error);
    }
  };

  it('says so when there is no package for the platform', () => {
    expect(codeOf('aix-ppc64')).toMatch(/^native_library_missing: .*aix-ppc64/);
  });

  it('names the package that is not installed', () => {
    expect(codeOf('win32-arm64')).toMatch(/^native_library_missing: .*@node-llama-cpp\/win-arm64/);
  });
});
