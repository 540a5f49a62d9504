// Makes the two pictures of the README from one real quickstart:
//   FORCE_COLOR=1 npx corral quickstart > run.ansi
//   node tools/terminal-svg.ts --ansi run.ansi --summary ~/.corral/quickstart.json --output docs/images
// writes quickstart.svg (what the terminal showed, up to the next steps) and loss-curve.svg.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseAnsi, terminalSvg, type Line } from './terminal-svg-ansi.ts';
import { curveSvg } from './terminal-svg-curve.ts';

interface Summary {
  readonly base_model: string;
  readonly loss_before: number | null;
  readonly loss_after: number | null;
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
}

const textOf = (line: Line): string => line.map(({ text }) => text).join('');
const isBlank = (line: Line | undefined): boolean =>
  line !== undefined && textOf(line).trim() === '';

/** The run without its snippets: everything before the last stage, and the closing line. */
export function shownLines(lines: readonly Line[]): Line[] {
  const next = lines.findIndex((line) => /^\d {2}Next$/.test(textOf(line)));
  const end = lines.findLast((line) => textOf(line).startsWith('Done in '));
  const shown = [...(next < 0 ? lines : lines.slice(0, next))];
  while (isBlank(shown.at(-1))) shown.pop();
  while (isBlank(shown[0])) shown.shift();
  return next >= 0 && end !== undefined ? [...shown, [], end] : shown;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      ansi: { type: 'string' },
      summary: { type: 'string' },
      output: { type: 'string' },
    },
  });
  const { ansi, summary, output } = values;
  if (ansi === undefined || summary === undefined || output === undefined) {
    console.error('usage: terminal-svg.ts --ansi FILE --summary quickstart.json --output FOLDER');
    process.exitCode = 2;
    return;
  }
  const run = JSON.parse(readFileSync(summary, 'utf8')) as Summary;
  mkdirSync(output, { recursive: true });
  const lines = shownLines(parseAnsi(readFileSync(ansi, 'utf8')));
  writeFileSync(join(output, 'quickstart.svg'), terminalSvg(lines, 'npm run quickstart'));
  const curve = curveSvg({
    losses: run.losses,
    lossBefore: run.loss_before,
    lossAfter: run.loss_after,
    title: `Tuning ${run.base_model}: loss by step`,
  });
  writeFileSync(join(output, 'loss-curve.svg'), curve);
  console.log(`${join(output, 'quickstart.svg')}\n${join(output, 'loss-curve.svg')}`);
}

if (import.meta.main) main();
