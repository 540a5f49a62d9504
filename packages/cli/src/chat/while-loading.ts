// What a person sees while an answer has not begun: that its model is being loaded, how far that is, or that
// it waits for memory. Asks the server now and then; whoever may not see the machine sees nothing.
import { setTimeout as delay } from 'node:timers/promises';
import type { ServerStatus } from '@corral/contracts';
import type { Io } from '../io.ts';
import { createProgress } from '../progress.ts';

type EngineOnShow = ServerStatus['engines'][number];

export interface Loading {
  readonly text: string;
  /** Null: nobody can tell. */
  readonly fraction: number | null;
}

/** Most answers begin sooner, and need no word about it. */
const silentMs = 600;
const lookEveryMs = 400;

const words: Readonly<Partial<Record<EngineOnShow['state'], (base: string) => string>>> = {
  waiting: (base) => `${base} waits for memory that other models use`,
  starting: (base) => `loading ${base}`,
  restarting: (base) => `${base} has failed and is started again`,
};

/** What keeps an answer of `model` from coming; null when its engine runs, or nobody knows which it is. */
export function describeLoading(engines: ServerStatus['engines'], model: string): Loading | null {
  const coming = engines.filter(({ state }) => words[state] !== undefined);
  // A tuned model's name is not its base's: then whatever is being loaded is the likely reason.
  const engine = coming.find(({ base }) => base === model) ?? coming[0];
  if (!engine || engines.some(({ base, state }) => base === model && state === 'ready'))
    return null;
  const { loading } = engine;
  const fraction =
    loading === undefined || loading.total_bytes === 0
      ? null
      : Math.min(1, loading.done_bytes / loading.total_bytes);
  const percent = fraction === null ? '' : ` … ${Math.floor(100 * fraction)} %`;
  return { text: `${words[engine.state]?.(engine.base) ?? ''}${percent}`, fraction };
}

export interface WhileLoadingOptions {
  readonly io: Io;
  readonly model: string;
  readonly status: (options: { signal: AbortSignal }) => Promise<ServerStatus>;
  readonly silentMs?: number;
}

/** Runs `work`, which calls `begun` when something has come of it. */
export async function whileLoading<T>(
  options: WhileLoadingOptions,
  work: (begun: () => void) => Promise<T>,
): Promise<T> {
  const { io, model, status } = options;
  if (!io.live) return work(() => undefined);
  const over = new AbortController();
  const { signal } = over;
  const progress = createProgress(io);
  const begun = (): void => {
    over.abort();
    progress.close();
  };
  const look = async (): Promise<void> => {
    await delay(options.silentMs ?? silentMs, undefined, { signal });
    for (;;) {
      const { engines } = await status({ signal });
      const loading = describeLoading(engines, model);
      if (loading) progress.update(loading.text, loading.fraction);
      await delay(lookEveryMs, undefined, { signal });
    }
  };
  // What goes wrong with looking is told by the answer, or is of no interest.
  const looking = look().catch(() => undefined);
  try {
    return await work(begun);
  } finally {
    begun();
    await looking;
  }
}
