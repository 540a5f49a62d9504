// Numbers that are lost end a run, with the step, the batch and the rows that did it: what comes after them is
// worth nothing, and what comes before is in the last checkpoint.
import { CorralError } from '@corral/contracts';
import type { ExampleStore } from '../data/data-set.ts';
import type { CausalLm } from '../models/causal-lm.ts';
import { type Layout, examplesOf } from './layout.ts';

interface Place {
  readonly store: ExampleStore;
  /** Items that took part. */
  readonly items: readonly number[];
  /** From 0. */
  readonly step: number;
  readonly layout: Layout;
}

const maxShownRows = 20;
const maxListedRows = 100;

/** The error of a run whose numbers are lost. */
function diverged(
  reason: string,
  { store, items, step, layout }: Place,
  measured: Readonly<Record<string, number>>,
): CorralError {
  const examples = items.flatMap((item) => examplesOf(item, layout));
  const rows = [...new Set(examples.map((index) => store.rowOf(index)))];
  const more = rows.length > maxShownRows ? ', …' : '';
  const shown = rows.slice(0, maxShownRows).join(', ') + more;
  // JSON has no NaN.
  const told = Object.entries(measured).map(([key, value]) => [key, String(value)]);
  return new CorralError('training_diverged', {
    params: { step: step + 1, reason, rows: shown },
    details: { step: step + 1, rows: rows.slice(0, maxListedRows), ...Object.fromEntries(told) },
  });
}

export interface BatchPlace extends Omit<Place, 'items'> {
  readonly microBatches: readonly (readonly number[])[];
  /** Index of the micro batch. */
  readonly batch: number;
}

/** Throws CorralError `training_diverged` when a micro batch's loss is not finite. */
export function requireFinite(
  lossSum: number,
  { microBatches, batch, ...place }: BatchPlace,
): void {
  if (Number.isFinite(lossSum)) return;
  const which = microBatches.length > 1 ? ` of batch ${batch + 1} of ${microBatches.length}` : '';
  throw diverged(
    `the loss${which} is not finite`,
    { ...place, items: microBatches[batch] ?? [] },
    { batch: batch + 1, loss: lossSum },
  );
}

/** Far above the loss of guessing (ln V): nothing useful comes after it. */
const divergedFactor = 4;

/** Stops a run whose numbers are lost. Throws CorralError `training_diverged` with step and rows. */
export function requireSane(
  { loss, gradNorm }: { readonly loss: number; readonly gradNorm: number },
  {
    model,
    microBatches,
    ...place
  }: Omit<BatchPlace, 'batch'> & { readonly model: Pick<CausalLm, 'config'> },
): void {
  const limit = divergedFactor * Math.log(model.config.vocab_size);
  const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
  if (finite && loss <= limit) return;
  const reason = finite
    ? `the loss is ${loss.toFixed(2)}, far above guessing`
    : Number.isFinite(loss)
      ? 'the gradient is not finite'
      : 'the loss is not finite';
  throw diverged(reason, { ...place, items: microBatches.flat() }, { loss, grad_norm: gradNorm });
}
