// The life of one base model's process: the states, what moves between them, and nothing else. Whether it
// waits for memory is serving-memory.ts's business.
import type { ServerStatus } from '@corral/contracts';

export type EngineState = Extract<
  ServerStatus['engines'][number]['state'],
  'stopped' | 'starting' | 'ready' | 'restarting'
>;
export type EngineStateEvent = 'started' | 'loaded' | 'crashed' | 'gave_up' | 'stopped';

/** Missing entries are defects: the event cannot happen in that state. */
const transitions: Readonly<
  Record<EngineState, Readonly<Partial<Record<EngineStateEvent, EngineState>>>>
> = {
  stopped: { started: 'starting', stopped: 'stopped' },
  starting: { loaded: 'ready', crashed: 'restarting', gave_up: 'stopped', stopped: 'stopped' },
  ready: { crashed: 'restarting', stopped: 'stopped' },
  restarting: { loaded: 'ready', crashed: 'restarting', gave_up: 'stopped', stopped: 'stopped' },
};

export function nextEngineState(state: EngineState, event: EngineStateEvent): EngineState {
  const next = transitions[state][event];
  if (next === undefined) throw new Error(`An engine that is ${state} cannot be ${event}.`);
  return next;
}

/** A child exists and has loaded its model. */
export const isServing = (state: EngineState): boolean => state === 'ready';
