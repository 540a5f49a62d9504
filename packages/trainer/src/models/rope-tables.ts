// Cosine and sine of every rotary angle. The frequencies and their scalings are those of the formats, computed in
// float64 and rounded once.
import { type ModelConfig, ropeFrequencies, ropeMagnitude } from '@corral/formats';

export interface RopeTables {
  /** [steps, D/2] */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** A rotation that also scales (yarn) is undone in its derivative by the same tables with the sine negated. */
export const ropeTables = (config: ModelConfig, steps: number): RopeTables => {
  const frequencies = ropeFrequencies(config);
  const magnitude = ropeMagnitude(config);
  const cos = new Float32Array(steps * frequencies.length);
  const sin = new Float32Array(steps * frequencies.length);
  for (let position = 0; position < steps; position++) {
    for (const [i, frequency] of frequencies.entries()) {
      cos[position * frequencies.length + i] = magnitude * Math.cos(position * frequency);
      sin[position * frequencies.length + i] = magnitude * Math.sin(position * frequency);
    }
  }
  return { cos, sin };
};
