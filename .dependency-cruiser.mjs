// Directions between packages and inside them; every rule is an error. See ARCHITECTURE.md.
const only = (from, allowed) => ({
  name: `${from}-imports`,
  severity: 'error',
  comment: `packages/${from} may import only: ${allowed.join(', ') || 'no other package'}`,
  from: { path: `^packages/${from}/src`, pathNot: '\\.(native|e2e|integration|test)\\.ts$' },
  to: { path: '^packages/', pathNot: `^packages/(${[from, ...allowed].join('|')})/` },
});
const inside = (pkg, folder, allowed) => ({
  name: `${pkg}-${folder}-imports`,
  severity: 'error',
  from: { path: `^packages/${pkg}/src/${folder}/`, pathNot: '\\.(native|integration|test)\\.ts$' },
  to: {
    path: `^packages/${pkg}/src/`,
    pathNot: `^packages/${pkg}/src/(${[folder, ...allowed].join('|')})/`,
  },
});

export default {
  forbidden: [
    only('contracts', []),
    only('formats', []),
    only('trainer', ['contracts', 'formats']),
    only('engine', ['contracts', 'formats']),
    only('policy', []),
    only('evidence', []),
    only('server', ['contracts', 'formats', 'policy', 'evidence']),
    only('sdk', ['contracts']),
    only('cli', ['contracts', 'sdk', 'evidence', 'policy']),
    inside('trainer', 'graph', []),
    inside('trainer', 'autodiff', ['graph']),
    inside('trainer', 'onnx', ['graph']),
    inside('trainer', 'runtime', ['onnx']),
    inside('trainer', 'nn', ['graph']),
    {
      name: 'feature-by-index',
      severity: 'error',
      comment: 'One server feature reaches another through its index.ts.',
      from: { path: '^packages/server/src/features/([^/]+)/' },
      to: {
        path: '^packages/server/src/features/([^/]+)/',
        pathNot: [
          '^packages/server/src/features/$1/',
          '^packages/server/src/features/[^/]+/index\\.ts$',
        ],
      },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-test-doubles-in-production',
      severity: 'error',
      from: { pathNot: '\\.(native|e2e|integration|test|fake)\\.ts$|^tests/' },
      to: { path: '\\.fake\\.ts$' },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: {
        orphan: true,
        pathNot:
          '(\\.config\\.(ts|mjs)|\\.d\\.ts|\\.(native|e2e|integration|test)\\.ts|worker\\.ts|main\\.ts|src/index\\.ts|^tools/|\\.dependency-cruiser\\.mjs)$|^tools/|^benchmarks/|^examples/',
      },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|fixtures)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.mjs', '.js'],
    },
  },
};
