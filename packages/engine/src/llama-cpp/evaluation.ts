// llama.cpp's evaluation callback: asked before each node of a graph whether to stop after it, called at the
// stops. One callback for all who watch a context's decodes. It costs 70 ns for each node.
import { registerEvalCallback } from './functions.ts';
import { createNativeTensors } from './native-tensors.ts';
import { createRankMask, type RankMask } from './rank-mask.ts';
import { createWeightWarmer, type WeightWarmer } from './weight-warmer.ts';

export interface Evaluation {
  /** For `cb_eval`. */
  readonly address: bigint;
  readonly mask: RankMask;
  readonly warmer: WeightWarmer;
  /** The context must be gone. Idempotent. */
  close(): void;
}

export function createEvaluation(): Evaluation {
  const tensors = createNativeTensors();
  const mask = createRankMask(tensors);
  const warmer = createWeightWarmer(tensors);
  /** The mask wants the node that was asked for last. */
  let isMasks = false;
  const registered = registerEvalCallback((address, ask) => {
    const tensor = Number(address);
    if (!ask) return !isMasks || mask.evaluate(tensor, false);
    // Both must hear of every node.
    const isWarmed = warmer.ask(tensor);
    isMasks = mask.evaluate(tensor, true);
    return isMasks || isWarmed;
  });
  let open = true;
  return {
    address: registered.address,
    mask,
    warmer,
    close: () => {
      if (open) registered.release();
      open = false;
    },
  };
}
