// The life of one base model's engine: the states, what moves between them, and nothing else.
import type { ServerStatus } from '@corral/contracts';

export type EngineState = ServerStatus['engines'][number]['state'];
export type EngineStateEvent = 'started' | 'loaded' | 'crashed' | 'gave_up' | 'closed';

/** Missing entries are defects: the event cannot happen in that state. */
const transitions: Readonly<
  Record<EngineState, Readonly<Partial<Record<EngineStateEvent, EngineState>>>>
> = {
  stopped: { started: 'starting', closed: 'stopped' },
  starting: { loaded: 'ready', crashed: 'restarting', gave_up: 'stopped', closed: 'stopped' },
  ready: { crashed: 'restarting', closed: 'stopped' },
  restarting: { loaded: 'ready', crashed: 'restarting', gave_up: 'stopped', closed: 'stopped' },
};

export function nextEngineState(state: EngineState, event: EngineStateEvent): EngineState {
  const next = transitions[state][event];
  if (next === undefined) throw new Error(`An engine that is ${state} cannot be ${event}.`);
  return next;
}

/** A child exists and has loaded its model. */
export const isServing = (state: EngineState): boolean => state === 'ready';
