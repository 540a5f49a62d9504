// Trains twice with one configuration, in float32 and with an int8 base, and puts the loss curves side by
// side: what decides whether `runtime.precision: auto` may choose int8. Same seed, same data, same steps.
//   node benchmarks/trainer/int8-curves.ts CONFIG.yaml [--svg FILE.svg] [--json] [--precisions float32,int8]
//   node benchmarks/trainer/int8-curves.ts --results float32.json,int8.json [--svg FILE.svg]   (what --json wrote)
// Validation is float32 in both. Wanted: the final validation losses within 1 % of each other.
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { RunConfig } from '@corral/contracts';
import { parseConfig } from '../../packages/trainer/src/config/load-config.ts';
import { train } from '../../packages/trainer/src/index.ts';

type Precision = 'float32' | 'int8';

interface Point {
  readonly step: number;
  readonly loss: number;
}

interface Curve {
  readonly precision: string;
  readonly training: readonly Point[];
  readonly validation: readonly Point[];
  readonly tokensPerSecond: number;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    svg: { type: 'string' },
    json: { type: 'boolean', default: false },
    precisions: { type: 'string', default: 'float32,int8' },
    results: { type: 'string' },
  },
});
const [configPath] = positionals;
if (configPath === undefined && options.results === undefined) {
  console.error('usage: node benchmarks/trainer/int8-curves.ts CONFIG.yaml [--svg FILE.svg]');
  process.exit(2);
}

const trainWith = async (path: string, precision: Precision): Promise<Curve> => {
  const folder = dirname(resolve(path));
  const config = parseConfig(await readFile(path, 'utf8'), path);
  await using output = await mkdtempDisposable(join(tmpdir(), 'corral-curves-'));
  const training: Point[] = [];
  const validation: Point[] = [];
  let tokensPerSecond = 0;
  const run: RunConfig = { ...config, runtime: { ...config.runtime, precision } };
  for await (const event of train(run, { output: join(output.path, 'run'), folder })) {
    if (event.type === 'step') training.push({ step: event.step, loss: event.loss });
    if (event.type === 'validation') validation.push({ step: event.step, loss: event.loss });
    if (event.type === 'finished') tokensPerSecond = event.tokens_per_second;
    if (event.type === 'failed') throw new Error(JSON.stringify(event.error));
    if (process.stderr.isTTY && event.type === 'step') {
      process.stderr.write(`\r${precision} step ${event.step} loss ${event.loss.toFixed(4)}  `);
    }
  }
  return { precision, training, validation, tokensPerSecond };
};

const colours = ['#2563eb', '#d97706', '#059669'];
const size = { width: 720, height: 360, left: 52, right: 16, top: 28, bottom: 32 };

/** The mean of this many steps makes one point of a line: single steps hide the curve. */
const smoothing = 5;

const smooth = (points: readonly Point[]): Point[] =>
  points.map(({ step }, i) => {
    const group = points.slice(Math.max(0, i - smoothing + 1), i + 1);
    return { step, loss: group.reduce((sum, { loss }) => sum + loss, 0) / group.length };
  });

const drawCurves = (curves: readonly Curve[]): string => {
  const all = curves.flatMap(({ training, validation }) => [...training, ...validation]);
  const lastStep = Math.max(1, ...all.map(({ step }) => step));
  const highest = 1.02 * Math.max(...all.map(({ loss }) => loss));
  const lowest = Math.min(0, ...all.map(({ loss }) => loss));
  const x = (step: number): string =>
    (size.left + (step / lastStep) * (size.width - size.left - size.right)).toFixed(1);
  const y = (loss: number): string => {
    const share = (loss - lowest) / (highest - lowest);
    return (size.height - size.bottom - share * (size.height - size.top - size.bottom)).toFixed(1);
  };
  const lines = curves.map(({ training, validation, precision }, i) => {
    const colour = colours[i] ?? '#374151';
    const points = smooth(training).map(({ step, loss }) => `${x(step)},${y(loss)}`);
    const dots = validation.map(
      ({ step, loss }) =>
        `<circle cx="${x(step)}" cy="${y(loss)}" r="4" fill="none" stroke="${colour}" stroke-width="2"/>`,
    );
    const legend = `<text x="${size.left + 170 * i}" y="18" fill="${colour}">${precision}: — training, ○ validation</text>`;
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.3"/>${dots.join('')}${legend}`;
  });
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const loss = lowest + share * (highest - lowest);
    return `<line x1="${size.left}" x2="${size.width - size.right}" y1="${y(loss)}" y2="${y(loss)}" stroke="#e5e7eb"/><text x="${size.left - 6}" y="${Number(y(loss)) + 4}" text-anchor="end">${loss.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" font-family="sans-serif" font-size="12" fill="#374151" role="img" aria-label="Loss by step and precision">
<rect width="${size.width}" height="${size.height}" fill="#ffffff"/>
${[...grid, ...lines].join('\n')}
<text x="${size.left}" y="${size.height - 10}">step 0</text>
<text x="${size.width - size.right}" y="${size.height - 10}" text-anchor="end">step ${lastStep}</text>
</svg>
`;
};

const curves: Curve[] = [];
for (const path of options.results?.split(',') ?? []) {
  curves.push(...JSON.parse(await readFile(path, 'utf8')));
}
if (configPath !== undefined) {
  for (const precision of options.precisions.split(',')) {
    curves.push(await trainWith(configPath, precision === 'int8' ? 'int8' : 'float32'));
  }
}
if (options.svg !== undefined) await writeFile(options.svg, drawCurves(curves));
const reference = curves[0]?.validation.at(-1)?.loss ?? Number.NaN;
if (options.json) console.log(JSON.stringify(curves));
else {
  for (const { precision, training, validation, tokensPerSecond } of curves) {
    const last = validation.at(-1)?.loss ?? Number.NaN;
    const tail = smooth(training).at(-1)?.loss ?? Number.NaN;
    const difference = (100 * (last / reference - 1)).toFixed(2);
    console.log(
      `${precision.padEnd(8)} ${training.length} steps, training ${tail.toFixed(4)}, validation ${validation.map(({ loss }) => loss.toFixed(4)).join(' → ')} (${difference} %), ${tokensPerSecond.toFixed(0)} tokens/s`,
    );
  }
}
