// A checkpoint: all that a run needs to go on as if it had never stopped, in one safetensors file.
// Parameters and both AdamW moments as float32 bytes; the rest as JSON in the file's metadata. Order,
// dropout and learning rate are functions of the step, so a step number is the whole random state.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import {
  FormatError,
  openFileSink,
  openFileSource,
  readSafetensors,
  writeSafetensors,
} from '@corral/formats';
import type { Parameter } from '../models/causal-lm.ts';
import type { AdamW } from '../optim/adamw.ts';

/** Steps done and what was measured on the way. */
export interface RunState {
  readonly step: number;
  /** Tokens fed so far, without padding. */
  readonly tokens: number;
  /** Seconds spent in optimiser steps, over all sittings. */
  readonly trainSeconds: number;
  /** Step of the last validation; -1 = none yet. */
  readonly validatedStep: number;
  readonly lossBefore: number | null;
  readonly lossAfter: number | null;
  readonly best: { readonly step: number; readonly loss: number } | null;
  /** Validations since the best one. */
  readonly withoutProgress: number;
}

export interface Trained {
  readonly parameters: readonly Parameter[];
  readonly optimizer: Pick<AdamW, 'state' | 'load'>;
}

export interface Checkpoint {
  readonly step: number;
  readonly path: string;
}

const schema = 'corral-checkpoint/1';
const namePattern = /^step-(\d{8})\.safetensors$/;

export const checkpointFolder = (output: string): string => join(output, 'checkpoints');
const checkpointName = (step: number): string =>
  `step-${String(step).padStart(8, '0')}.safetensors`;

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** What the size of a checkpoint depends on. */
export interface Sized {
  readonly data: { readonly byteLength: number };
}

/** Bytes of one checkpoint of these parameters: values and two moments. */
export const checkpointBytes = (parameters: readonly Sized[]): number =>
  parameters.reduce((sum, { data }) => sum + 3 * data.byteLength, 0) + (1 << 16);

function tensorsOf({ parameters, optimizer }: Trained) {
  const { m, v } = optimizer.state;
  return parameters.flatMap(({ name, shape, data }, index) =>
    Object.entries({ value: data, m: m[index], v: v[index] }).flatMap(([kind, values]) =>
      values
        ? [{ name: `${kind}.${name}`, dtype: 'F32' as const, shape, data: bytesOf(values) }]
        : [],
    ),
  );
}

/** Writes a checkpoint aside, syncs and renames it; then removes all but the newest `keep`. */
export async function saveCheckpoint(
  output: string,
  trained: Trained,
  { state, identity, keep }: { state: RunState; identity: string; keep: number },
): Promise<Checkpoint> {
  const folder = checkpointFolder(output);
  await mkdir(folder, { recursive: true });
  const path = join(folder, checkpointName(state.step));
  await using sink = await openFileSink(path);
  await writeSafetensors(sink, {
    metadata: new Map([
      ['schema', schema],
      ['identity', identity],
      ['optimizer_step', String(trained.optimizer.state.step)],
      ['state', JSON.stringify(state)],
    ]),
    tensors: tensorsOf(trained),
  });
  await sink.commit();
  for (const old of (await listCheckpoints(output)).slice(keep))
    await rm(old.path, { force: true });
  return { step: state.step, path };
}

/** Checkpoints of an output folder, newest first. */
async function listCheckpoints(output: string): Promise<Checkpoint[]> {
  const folder = checkpointFolder(output);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  return names
    .flatMap((name) => {
      const match = namePattern.exec(name);
      return match ? [{ step: Number(match[1]), path: join(folder, name) }] : [];
    })
    .toSorted((a, b) => b.step - a.step);
}

/** Where the arrays of a checkpoint go. */
const targetsOf = ({ parameters }: Trained, m: Float32Array[], v: Float32Array[]) =>
  parameters.flatMap(({ name, data }, index) => [
    { name: `value.${name}`, target: data },
    { name: `m.${name}`, target: m[index] ?? data },
    { name: `v.${name}`, target: v[index] ?? data },
  ]);

async function restore(path: string, trained: Trained, identity: string): Promise<RunState> {
  await using source = await openFileSource(path);
  const file = await readSafetensors(source);
  if (file.metadata.get('schema') !== schema) throw new FormatError('it is not a checkpoint');
  if (file.metadata.get('identity') !== identity) {
    throw new CorralError('conflict', {
      params: {
        reason: `The checkpoint "${path}" belongs to another configuration (other settings, data or model). Give another --output, or remove its folder "checkpoints" to begin again.`,
      },
    });
  }
  const zeros = () => trained.parameters.map(({ data }) => new Float32Array(data.length));
  const [m, v] = [zeros(), zeros()];
  const targets = targetsOf(trained, m, v);
  // All is checked before anything is changed.
  for (const { name, target } of targets) {
    if (file.tensors.get(name)?.byteLength !== target.byteLength) {
      throw new FormatError(`the tensor "${name}" is missing or of another size`);
    }
  }
  for (const { name, target } of targets) bytesOf(target).set(await file.readTensor(name));
  trained.optimizer.load({ step: Number(file.metadata.get('optimizer_step')), m, v });
  return JSON.parse(file.metadata.get('state') ?? '') as RunState;
}

/**
 * Loads the newest checkpoint that can be read into parameters and optimiser; null when there is none.
 * A damaged file is passed over (`onDamaged`) for the one before it.
 * Throws CorralError `conflict` when it belongs to another configuration.
 */
export async function resumeNewest(
  output: string,
  trained: Trained,
  { identity, onDamaged }: { identity: string; onDamaged: (path: string, why: string) => void },
): Promise<RunState | null> {
  for (const { path } of await listCheckpoints(output)) {
    try {
      return await restore(path, trained, identity);
    } catch (error) {
      if (!FormatError.isInstance(error) && !(error instanceof SyntaxError)) throw error;
      onDamaged(path, error.message);
    }
  }
  return null;
}
