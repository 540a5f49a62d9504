// The loss curve of a run as an SVG: every step, a smoothed line, and validation loss before and after.
// Follows the reader's light or dark mode.
import { svgStyle } from './terminal-svg-ansi.ts';

export interface Curve {
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
  /** Validation loss before the first and after the last step. */
  readonly lossBefore: number | null;
  readonly lossAfter: number | null;
  readonly title: string;
}

const size = { width: 720, height: 300 };
const plot = { left: 56, right: 190, top: 46, bottom: 40 };

/** Exponential moving average, started without bias. */
export function smooth(values: readonly number[], keep = 0.85): number[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

/** Round steps of a scale from 0 to `max`: at most six marks. */
export function ticks(max: number): number[] {
  const rough = max / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough) ?? max;
  const count = Math.floor(max / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

const round = (value: number): number => Math.round(value * 10) / 10;

export function curveSvg({ losses, lossBefore, lossAfter, title }: Curve): string {
  const lastStep = losses.at(-1)?.step ?? 1;
  const maxLoss =
    Math.max(lossBefore ?? 0, lossAfter ?? 0, ...losses.map(({ loss }) => loss)) * 1.05;
  const x = (step: number) =>
    round(plot.left + (step / lastStep) * (size.width - plot.left - plot.right));
  const y = (loss: number) =>
    round(size.height - plot.bottom - (loss / maxLoss) * (size.height - plot.top - plot.bottom));
  const path = (points: readonly (readonly [number, number])[]) =>
    points.map(([step, loss], index) => `${index === 0 ? 'M' : 'L'}${x(step)} ${y(loss)}`).join('');
  const raw = losses.map(({ step, loss }) => [step, loss] as const);
  const smoothed = smooth(losses.map(({ loss }) => loss));
  const even = losses.map(({ step }, index) => [step, smoothed[index] ?? 0] as const);
  const grid = ticks(maxLoss).map(
    (loss) =>
      `<path d="M${plot.left} ${y(loss)}H${size.width - plot.right}" stroke="var(--edge)"/><text x="${plot.left - 8}" y="${y(loss) + 4}" text-anchor="end" class="dim small">${loss}</text>`,
  );
  const steps = ticks(lastStep).map(
    (step) =>
      `<text x="${x(step)}" y="${size.height - plot.bottom + 18}" text-anchor="middle" class="dim small">${step}</text>`,
  );
  const mark = (step: number, loss: number | null, label: string) =>
    loss === null
      ? ''
      : `<circle cx="${x(step)}" cy="${y(loss)}" r="5" fill="var(--green)"/><text x="${x(step) + 12}" y="${y(loss) - 7}" class="green small">${label} ${loss.toFixed(3)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img" aria-label="${title}">
${svgStyle}
<style>.small { font-size: 12px; }</style>
<rect x="0.5" y="0.5" width="${size.width - 1}" height="${size.height - 1}" rx="9" fill="var(--back)" stroke="var(--edge)"/>
<text x="${plot.left}" y="27" class="bold">${title}</text>
${grid.join('\n')}
${steps.join('\n')}
<text x="${size.width - plot.right}" y="${size.height - 8}" text-anchor="end" class="dim small">step</text>
<path d="${path(raw)}" fill="none" stroke="var(--blue)" stroke-opacity="0.35"/>
<path d="${path(even)}" fill="none" stroke="var(--blue)" stroke-width="2.5" stroke-linejoin="round"/>
${mark(0, lossBefore, 'validation before')}
${mark(lastStep, lossAfter, 'validation after')}
</svg>
`;
}
