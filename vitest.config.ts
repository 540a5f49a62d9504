// Test projects by cost: unit (no I/O), integration (PGlite, Fastify inject), native (onnxruntime,
// llama.cpp, tiny weights), e2e (processes, real Postgres). A file's name decides its project.
import { defineConfig } from 'vitest/config';

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
    projects: projects.map(({ name, include, seconds }) => ({
      test: {
        name,
        include,
        environment: 'node',
        testTimeout: seconds * 1000,
        hookTimeout: seconds * 1000,
        pool: 'forks',
        fileParallelism: name === 'unit' || name === 'integration',
      },
    })),
  },
});
