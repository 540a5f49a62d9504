// The loss of a run as a picture without dependencies: training loss as a line, validation as dots.
import type { RunEvent } from '@corral/contracts';

const width = 640;
const height = 320;
const margin = { left: 48, right: 16, top: 16, bottom: 32 };

interface Point {
  readonly step: number;
  readonly loss: number;
}

const pointsOf = (events: readonly RunEvent[], type: 'step' | 'validation'): Point[] =>
  events.flatMap((event) =>
    event.type === type && Number.isFinite(event.loss)
      ? [{ step: event.step, loss: event.loss }]
      : [],
  );

/** At most `count` points: each the mean of its neighbours, so that long runs stay small. */
function thin(points: readonly Point[], count: number): Point[] {
  const size = Math.ceil(points.length / count);
  return Array.from({ length: Math.ceil(points.length / Math.max(size, 1)) }, (_, index) => {
    const group = points.slice(index * size, (index + 1) * size);
    const mean = (key: keyof Point) =>
      group.reduce((sum, point) => sum + point[key], 0) / group.length;
    return { step: mean('step'), loss: mean('loss') };
  });
}

/** An SVG of the events' losses; null when there is no step. */
export function drawLossCurve(events: readonly RunEvent[]): string | null {
  const training = thin(pointsOf(events, 'step'), 300);
  const validation = pointsOf(events, 'validation');
  const all = [...training, ...validation];
  if (training.length === 0) return null;
  const lastStep = Math.max(...all.map(({ step }) => step), 1);
  const highest = Math.max(...all.map(({ loss }) => loss)) * 1.05 || 1;
  const x = (step: number) =>
    (margin.left + (step / lastStep) * (width - margin.left - margin.right)).toFixed(1);
  const y = (loss: number) =>
    (height - margin.bottom - (loss / highest) * (height - margin.top - margin.bottom)).toFixed(1);
  const line = training.map(({ step, loss }) => `${x(step)},${y(loss)}`).join(' ');
  const dots = validation
    .map(({ step, loss }) => `<circle cx="${x(step)}" cy="${y(loss)}" r="4" fill="#d97706"/>`)
    .join('');
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const loss = share * highest;
    return `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(loss)}" y2="${y(loss)}" stroke="#e5e7eb"/><text x="${margin.left - 6}" y="${Number(y(loss)) + 4}" text-anchor="end">${loss.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="#374151" role="img" aria-label="Loss by step">
<rect width="${width}" height="${height}" fill="#ffffff"/>
${grid.join('\n')}
<polyline points="${line}" fill="none" stroke="#2563eb" stroke-width="1.5"/>
${dots}
<text x="${margin.left}" y="${height - 10}">step 0</text>
<text x="${width - margin.right}" y="${height - 10}" text-anchor="end">step ${lastStep}</text>
<text x="${width - margin.right}" y="${margin.top + 8}" text-anchor="end"><tspan fill="#2563eb">training loss</tspan> · <tspan fill="#d97706">validation loss</tspan></text>
</svg>
`;
}
