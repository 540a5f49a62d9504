// Clipping by the norm over all parameters. The summation order is fixed (parameter by parameter,
// element by element, in float64), so the result does not depend on threads.

/** L2 norm over all gradients, in float64. */
export const globalNorm = (parameters: readonly { readonly grad: Float32Array }[]): number => {
  let sum = 0;
  for (const { grad } of parameters) {
    let part = 0;
    for (let i = 0; i < grad.length; i++) {
      const g = grad[i] ?? 0;
      part += g * g;
    }
    sum += part;
  }
  return Math.sqrt(sum);
};

/**
 * Scales all gradients so that their common norm is at most `maxNorm` (torch.nn.utils.clip_grad_norm_:
 * factor maxNorm / (norm + 1e-6), at most 1). Null only measures.
 * @returns the norm before clipping; not finite when a gradient is not, and then nothing is scaled
 */
export const clipGradients = (
  parameters: readonly { readonly grad: Float32Array }[],
  maxNorm: number | null,
): number => {
  const norm = globalNorm(parameters);
  if (maxNorm === null || !Number.isFinite(norm)) return norm;
  const factor = maxNorm / (norm + 1e-6);
  if (factor >= 1) return norm;
  for (const { grad } of parameters) {
    for (let i = 0; i < grad.length; i++) grad[i] = (grad[i] ?? 0) * factor;
  }
  return norm;
};
