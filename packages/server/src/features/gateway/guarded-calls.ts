// Tool calls on their way out. Names and arguments pass the guard as text does, but a call is whole or it
// is nothing: where a rule would redact, the call is blocked, because arguments with a mark in them would
// be carried out. One call after the other, as the engine writes them.
import { CorralError } from '@corral/contracts';
import type { ToolCallDelta } from '@corral/contracts';
import { isIntervention } from './content-policy.ts';
import type { OutputGuard, PolicyDecision } from './content-policy.ts';
import { GuardedText } from './guarded-text.ts';
import type { ReleasedText } from './guarded-text.ts';

export interface ReleasedCalls {
  readonly deltas: readonly ToolCallDelta[];
  readonly decisions: readonly PolicyDecision[];
  /** What blocked the call; nothing may follow. */
  readonly blocked: PolicyDecision | null;
}

export class GuardedCalls {
  readonly #newGuard: () => OutputGuard;
  #index = -1;
  #arguments: GuardedText | null = null;
  #deltas: ToolCallDelta[] = [];
  #decisions: PolicyDecision[] = [];
  #blocked: PolicyDecision | null = null;

  constructor(newGuard: () => OutputGuard) {
    this.#newGuard = newGuard;
  }

  push(deltas: readonly ToolCallDelta[]): ReleasedCalls {
    for (const delta of deltas) {
      if (this.#blocked === null) this.#read(delta);
    }
    return this.#taken();
  }

  end(): ReleasedCalls {
    if (this.#blocked === null) this.#endCall();
    return this.#taken();
  }

  #read({ index, id, name, arguments: text }: ToolCallDelta): void {
    if (index !== this.#index) {
      if (index < this.#index || id === undefined || name === undefined) {
        const reason = 'its tool calls are out of order';
        throw new CorralError('engine_failed', { params: { reason } });
      }
      this.#endCall();
      this.#index = index;
      if (this.#isBlocked()) return;
      const guard = this.#newGuard();
      this.#heed(guard.push(name));
      this.#heed(guard.end());
      if (this.#isBlocked()) return;
      this.#arguments = new GuardedText(this.#newGuard(), 'json');
      this.#deltas.push({ index, id, name, arguments: '' });
    }
    if (text !== '' && this.#arguments) this.#release(this.#arguments.push(text));
  }

  #endCall(): void {
    if (this.#arguments) this.#release(this.#arguments.end());
    this.#arguments = null;
  }

  #isBlocked(): boolean {
    return this.#blocked !== null;
  }

  #release(released: ReleasedText): void {
    this.#heed(released);
    if (this.#blocked !== null || released.text === '') return;
    this.#deltas.push({ index: this.#index, arguments: released.text });
  }

  #heed({ decisions, stop }: Pick<ReleasedText, 'decisions' | 'stop'>): void {
    this.#decisions.push(...decisions);
    this.#blocked ??= stop ?? decisions.find(isIntervention) ?? null;
  }

  #taken(): ReleasedCalls {
    const taken = { deltas: this.#deltas, decisions: this.#decisions, blocked: this.#blocked };
    this.#deltas = [];
    this.#decisions = [];
    return taken;
  }
}
