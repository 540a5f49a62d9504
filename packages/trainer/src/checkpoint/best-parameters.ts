// The parameters at the best validation loss, so that early stopping can hand them out. Values only:
// nothing is resumed from them.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openFileSink, openFileSource, readSafetensors, writeSafetensors } from '@corral/formats';
import type { Parameter } from '../models/causal-lm.ts';
import { checkpointFolder } from './checkpoint.ts';

const pathOf = (output: string): string => join(checkpointFolder(output), 'best.safetensors');

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Replaces the best parameters by these. */
export async function saveBest(
  output: string,
  parameters: readonly Parameter[],
  { step, identity }: { step: number; identity: string },
): Promise<void> {
  await mkdir(checkpointFolder(output), { recursive: true });
  await using sink = await openFileSink(pathOf(output));
  await writeSafetensors(sink, {
    metadata: new Map([
      ['step', String(step)],
      ['identity', identity],
    ]),
    tensors: parameters.map(({ name, shape, data }) => ({
      name,
      dtype: 'F32',
      shape,
      data: bytesOf(data),
    })),
  });
  await sink.commit();
}

/** Puts the best parameters into the model. */
export async function loadBest(output: string, parameters: readonly Parameter[]): Promise<void> {
  await using source = await openFileSource(pathOf(output));
  const file = await readSafetensors(source);
  for (const { name, data } of parameters) bytesOf(data).set(await file.readTensor(name));
}
