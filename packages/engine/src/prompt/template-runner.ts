// Runs a Jinja template under limits. A template comes with a model file or with a request: one that loops
// for ever must not stop the engine, one that writes without end must not fill the memory. Knows nothing
// of messages.
import { createContext, Script } from 'node:vm';
import { Template } from '@huggingface/jinja';

export interface TemplateLimits {
  /** Wall time of one rendering. */
  readonly timeMs: number;
}

/** The model's own template, and one that came with a request. */
export const ownTemplateLimits: TemplateLimits = { timeMs: 2000 };
export const givenTemplateLimits: TemplateLimits = { timeMs: 250 };

/** Characters of a rendered prompt; a context of a million tokens has fewer. */
const maxRendered = 8 * 2 ** 20;
/** Numbers of one `range`. */
const maxRange = 100_000;

/** Why a template could not be rendered, in words for its author. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

/**
 * The library defines a clock, and prompts that depend on the day could not be compared; and a range that
 * makes as many numbers as it is told. The empty expression keeps a newline at the start of the template
 * from being taken as the end of the block.
 */
const prelude = "{% set strftime_now = undefined %}{% set range = corral_range %}{{ '' }}";

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= maxRange)) throw new TemplateError(`range() of more than ${maxRange} numbers`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}

// V8 can end JavaScript that runs too long only when it was entered this way; the script is one call of
// ours, the template is data to it.
const sandbox: { job: () => void } = Object.assign(Object.create(null) as object, {
  job: () => {},
});
const context = createContext(sandbox);
const script = new Script('job()');

/** The error belongs to the other context: it is no instance of our Error. */
const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' &&
  error !== null &&
  'code' in error &&
  error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';

function withinTime<T>(timeMs: number, work: () => T): T {
  let result: { value: T } | undefined;
  sandbox.job = () => {
    result = { value: work() };
  };
  try {
    script.runInContext(context, { timeout: timeMs });
  } catch (error) {
    if (isTimeout(error)) throw new TemplateError(`it took more than ${timeMs} ms`);
    throw error;
  } finally {
    sandbox.job = () => {};
  }
  if (!result) throw new TemplateError('it gave nothing');
  return result.value;
}

const reasonOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);

/** What `source` makes of its variables. Throws TemplateError when it does not parse. */
export function compileTemplate(
  source: string,
  { timeMs }: TemplateLimits,
): (variables: Readonly<Record<string, unknown>>) => string {
  const limited = <T>(work: () => T): T => {
    try {
      return withinTime(timeMs, work);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      throw new TemplateError(reasonOf(error), { cause: error });
    }
  };
  const template = limited(() => new Template(prelude + source));
  return (variables) => {
    const rendered = limited(() => template.render({ ...variables, corral_range: boundedRange }));
    if (rendered.length > maxRendered)
      throw new TemplateError(`it wrote more than ${maxRendered} characters`);
    return rendered;
  };
}
