// A terminal's text with colours (ANSI SGR) as runs of one style, and those runs as an SVG that follows
// the reader's light or dark mode. Knows the few codes our command line writes; drops all others.

export interface Style {
  readonly bold: boolean;
  readonly dim: boolean;
  /** `red`, `green`, … or null for the text colour. */
  readonly color: string | null;
}
export interface Run extends Style {
  readonly text: string;
}
export type Line = readonly Run[];

const plain: Style = { bold: false, dim: false, color: null };
const escape = '\u001b';
const colorCodes: Readonly<Record<number, string>> = {
  31: 'red',
  32: 'green',
  33: 'yellow',
  34: 'blue',
  35: 'magenta',
  36: 'cyan',
};

function applyCode(style: Style, code: number): Style {
  if (code === 0) return plain;
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 39) return { ...style, color: null };
  const color = colorCodes[code];
  return color === undefined ? style : { ...style, color };
}

const sameStyle = (a: Style, b: Style): boolean =>
  a.bold === b.bold && a.dim === b.dim && a.color === b.color;

/** Neighbours of one style as one run: streamed text is coloured word by word. */
function mergeRuns(runs: readonly Run[]): Run[] {
  const merged: Run[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    if (last !== undefined && sameStyle(last, run)) {
      merged.splice(-1, 1, { ...last, text: last.text + run.text });
    } else merged.push(run);
  }
  return merged;
}

/** Splits text into lines of runs. A carriage return with "erase line" starts the line anew. */
export function parseAnsi(text: string): Line[] {
  let style = plain;
  return text
    .replaceAll('\r\n', '\n')
    .split('\n')
    .map((raw) => {
      const runs: Run[] = [];
      const line = raw.slice(raw.lastIndexOf('\r') + 1);
      const [start = '', ...pieces] = line.split(escape);
      if (start !== '') runs.push({ ...style, text: start });
      for (const piece of pieces) {
        const [control = '', codes = '', letter = ''] = /^\[([\d;]*)([A-Za-z])/.exec(piece) ?? [];
        if (letter === 'm')
          for (const code of codes.split(';')) style = applyCode(style, Number(code));
        const rest = piece.slice(control.length);
        if (rest !== '') runs.push({ ...style, text: rest });
      }
      return mergeRuns(runs);
    });
}

export const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

// Width of a character in a 14 px monospace font; `textLength` holds every font to it.
const cell = { width: 8.4, height: 19, font: 14 };
const margin = { x: 20, top: 44, bottom: 18 };

export const svgStyle = `<style>
  svg { --back: #ffffff; --edge: #d0d7de; --text: #1f2328; --dim: #6e7781; --red: #cf222e;
    --green: #1a7f37; --yellow: #9a6700; --blue: #0969da; --magenta: #8250df; --cyan: #1b7c83; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --edge: #30363d; --text: #e6edf3; --dim: #8b949e; --red: #ff7b72;
      --green: #56d364; --yellow: #e3b341; --blue: #79c0ff; --magenta: #d2a8ff; --cyan: #56d4dd; }
  }
  text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: ${cell.font}px; fill: var(--text); white-space: pre; }
  .bold { font-weight: 600; } .dim { fill: var(--dim); } .red { fill: var(--red); }
  .green { fill: var(--green); } .yellow { fill: var(--yellow); } .blue { fill: var(--blue); }
  .magenta { fill: var(--magenta); } .cyan { fill: var(--cyan); }
</style>`;

const classOf = ({ bold, dim, color }: Style): string =>
  [bold ? 'bold' : '', dim ? 'dim' : '', color ?? ''].filter(Boolean).join(' ');

/** Columns that text takes: one a code point, as nothing we print is wide. */
const columnsOf = (text: string): number => Array.from(text).length;
const round = (value: number): number => Math.round(value * 10) / 10;

function drawRun(run: Run, column: number, y: number): string {
  const names = classOf(run);
  const length = round(columnsOf(run.text) * cell.width);
  const x = round(margin.x + column * cell.width);
  return `<text x="${x}" y="${y}" textLength="${length}"${names === '' ? '' : ` class="${names}"`}>${escapeXml(run.text)}</text>`;
}

function drawLine(line: Line, index: number): string {
  const y = margin.top + (index + 1) * cell.height - 5;
  let column = 0;
  const drawn: string[] = [];
  for (const run of line) {
    // Blanks at a run's ends are places, not text: fonts would stretch what stands between them.
    const start = run.text.length - run.text.trimStart().length;
    const text = run.text.trim();
    if (text !== '') drawn.push(drawRun({ ...run, text }, column + start, y));
    column += columnsOf(run.text);
  }
  return drawn.join('');
}

/** A window of a terminal that shows `lines`, with `title` in its bar. */
export function terminalSvg(lines: readonly Line[], title: string): string {
  const columns = Math.max(
    60,
    ...lines.map((line) => line.reduce((sum, { text }) => sum + columnsOf(text), 0)),
  );
  const width = Math.ceil(columns * cell.width + 2 * margin.x);
  const height = margin.top + lines.length * cell.height + margin.bottom;
  const dots = ['red', 'yellow', 'green']
    .map((color, index) => `<circle cx="${20 + index * 18}" cy="18" r="5.5" class="${color}"/>`)
    .join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title).replaceAll('"', '&quot;')}">
${svgStyle}
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="9" fill="var(--back)" stroke="var(--edge)"/>
${dots}
<text x="${width / 2}" y="23" text-anchor="middle" class="dim">${escapeXml(title)}</text>
${lines.map(drawLine).filter(Boolean).join('\n')}
</svg>
`;
}
