// How the feeds of one step, of which each may want another adapter, become decodes. Strategies differ in
// what they do with sequences of different adapters; the scheduler knows only this.
import type { NativeAdapter } from '../llama-cpp/native-types.ts';
import type { PlannedFeed } from './step-feed.ts';

export interface DecodeStrategy {
  /** Feeds the plan and hands each wanted row of logits to its task. */
  run(plan: readonly PlannedFeed[]): void;
  /** Must be called before an adapter is freed. */
  forget(adapter: NativeAdapter): void;
}
