// Test projects by cost: unit (no I/O), integration (PGlite, Fastify inject), native (onnxruntime,
// llama.cpp, tiny weights), e2e (processes, real Postgres). A file's name decides its project.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Most of what a short test costs is starting: its process, and those it starts, compile the same modules
// again. Node keeps them compiled here, types stripped; the children of tests inherit the variable.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('node_modules/.cache/corral/compiled', import.meta.url),
);

const projects = [
  { name: 'unit', include: ['packages/*/src/**/*.test.ts', 'tools/**/*.test.ts'], seconds: 10 },
  { name: 'integration', include: ['packages/*/src/**/*.integration.ts'], seconds: 60 },
  {
    name: 'native',
    include: ['packages/*/src/**/*.native.ts', 'tests/native/**/*.native.ts'],
    seconds: 180,
  },
  { name: 'e2e', include: ['tests/e2e/**/*.e2e.ts'], seconds: 600 },
];

export default defineConfig({
  test: {
    // Vitest would leave one core to itself: on a machine with two, half of it. It needs little, and tests that
    // wait for processes leave room for one more.
    maxWorkers: availableParallelism() + 1,
    projects: projects.map(({ name, include, seconds }) => {
      const cheap = name === 'unit' || name === 'integration';
      return {
        test: {
          name,
          include,
          environment: 'node',
          setupFiles: cheap ? ['tools/without-onnx.ts'] : [],
          testTimeout: seconds * 1000,
          hookTimeout: seconds * 1000,
          pool: 'forks',
          // Native memory and processes get a process a file, one after the other. The others share one a
          // core, and in it their modules and one PGlite; each test makes a home and a schema of its own.
          isolate: !cheap,
          fileParallelism: cheap,
        },
      };
    }),
  },
});
