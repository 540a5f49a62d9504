import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunConfigInput, runConfigSchema } from '@corral/contracts';
import { openFileSource, readGguf } from '@corral/formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveConfig, runIdentity } from '../config/resolve-config.ts';
import type { Parameter } from '../models/causal-lm.ts';
import { saveAdapter } from '../output/peft-adapter.ts';
import { fakeModelConfig } from '../recipes/causal-lm.fake.ts';
import { runToy, writeToyInputs } from '../recipes/toy-run.fake.ts';
import { loadPeftValues, readPeftSettings } from './peft-folder.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-peft-'));
  writeToyInputs(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const matrix = (module: string, half: 'A' | 'B', shape: readonly [number, number]): Parameter => {
  const values = Float32Array.from({ length: shape[0] * shape[1] }, (_, index) => index / 7);
  const name = `base_model.model.model.layers.0.${module}.lora_${half}.weight`;
  return { name, shape, data: values, grad: new Float32Array(values.length) };
};
const adapterParameters = (): Parameter[] => [
  matrix('self_attn.q_proj', 'A', [2, 8]),
  matrix('self_attn.q_proj', 'B', [8, 2]),
  matrix('mlp.down_proj', 'A', [2, 8]),
  matrix('mlp.down_proj', 'B', [8, 2]),
];
const zeroed = (): Parameter[] =>
  adapterParameters().map((parameter) => ({
    ...parameter,
    data: new Float32Array(parameter.data.length),
  }));

const configOf = (lora: RunConfigInput['lora']) =>
  runConfigSchema.parse({ model: 'model', data: { train: 'rows.jsonl' }, lora });

/** A folder as an earlier run leaves it. */
const adapterFolder = async (lora: RunConfigInput['lora'] = { rank: 2, alpha: 3 }) => {
  const output = mkdtempSync(join(folder, 'adapter-'));
  await saveAdapter(output, {
    parameters: adapterParameters(),
    modelConfig: { ...fakeModelConfig(264), hidden_size: 8, head_dim: 4 },
    config: await resolveConfig(configOf(lora), folder),
  });
  return output;
};

const change = (output: string, more: object): void => {
  const path = join(output, 'adapter_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...config, ...more }));
};

describe('an adapter folder', () => {
  test('gives its settings and its numbers', async () => {
    const output = await adapterFolder({ rank: 2, alpha: 3, use_rslora: true });
    expect(await readPeftSettings(output)).toEqual({
      rank: 2,
      alpha: 3,
      useRslora: true,
      targets: ['q_proj', 'down_proj'],
    });
    const parameters = zeroed();
    await loadPeftValues(output, parameters);
    expect(parameters).toEqual(adapterParameters());
  });

  test('tells llama.cpp the scale in the only form it knows', async () => {
    const output = await adapterFolder({ rank: 2, alpha: 3, use_rslora: true });
    await using source = await openFileSource(join(output, 'adapter.gguf'));
    const alpha = (await readGguf(source)).metadata.get('adapter.lora.alpha');
    expect(alpha?.value).toBeCloseTo(3 * Math.SQRT2, 5);
    expect(JSON.parse(readFileSync(join(output, 'adapter_config.json'), 'utf8'))).toMatchObject({
      lora_alpha: 3,
      r: 2,
      use_rslora: true,
    });
  });

  test.each([
    [{ use_dora: true }, /use_dora/],
    [{ rank_pattern: { q_proj: 4 } }, /rank_pattern/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save/],
    [{ bias: 'all' }, /bias/],
    [{ peft_type: 'IA3' }, /IA3/],
    [{ r: 0 }, /"r" is 0/],
    [{ lora_alpha: 'large' }, /lora_alpha/],
  ])('with %j is refused by name', async (more, reason) => {
    const output = await adapterFolder();
    change(output, more);
    await expect(readPeftSettings(output)).rejects.toMatchObject({
      code: 'model_file_invalid',
      message: expect.stringMatching(reason) as string,
    });
  });

  test('that is damaged, missing or of another model is refused, and nothing is changed', async () => {
    const output = await adapterFolder();
    const parameters = zeroed();
    const wide = parameters.map((parameter, index) =>
      index === 3 ? { ...parameter, shape: [4, 4] } : parameter,
    );
    const invalid = { code: 'model_file_invalid' };
    await expect(loadPeftValues(output, wide)).rejects.toMatchObject(invalid);
    await expect(loadPeftValues(output, parameters.slice(1))).rejects.toMatchObject(invalid);
    const path = join(output, 'adapter_model.safetensors');
    const bytes = readFileSync(path);
    // The last value of the last tensor becomes NaN.
    bytes.writeUInt32LE(0x7fc00000, bytes.length - 4);
    writeFileSync(path, bytes);
    await expect(loadPeftValues(output, parameters)).rejects.toMatchObject({
      code: 'non_finite_weights',
    });
    writeFileSync(path, bytes.subarray(0, bytes.length - 8));
    await expect(loadPeftValues(output, parameters)).rejects.toMatchObject(invalid);
    rmSync(path);
    await expect(readPeftSettings(output)).rejects.toMatchObject({ code: 'file_not_found' });
    expect(parameters.every(({ data }) => data.every((value) => value === 0))).toBe(true);
  });
});

describe('a run that begins with an adapter', () => {
  test('takes its shape and scale, and says so', async () => {
    const init = await adapterFolder();
    const notes: string[] = [];
    const resolved = await resolveConfig(configOf({ init, rank: 2 }), folder, (message) =>
      notes.push(message),
    );
    expect(resolved.lora).toMatchObject({
      rank: 2,
      alpha: 3,
      target_modules: ['q_proj', 'down_proj'],
      init: { path: init },
    });
    expect(notes.map((note) => /lora\.\w+/.exec(note)?.[0])).toEqual([
      'lora.alpha',
      'lora.target_modules',
    ]);
  });

  test('is another run when the adapter is another, wherever it lies', async () => {
    const init = await adapterFolder();
    const moved = join(folder, 'moved');
    cpSync(init, moved, { recursive: true });
    const identity = async (path?: string) =>
      runIdentity(await resolveConfig(configOf(path ? { init: path } : {}), folder));
    expect(await identity(moved)).toBe(await identity(init));
    change(moved, { lora_alpha: 4 });
    expect(await identity(moved)).not.toBe(await identity(init));
    expect(await identity(init)).not.toBe(await identity());
  });

  test('goes on where the adapter is, and is resumed as any other', async () => {
    const first = join(folder, 'first');
    const before = await runToy({ folder, output: first });
    const after = before.events.find((event) => event.type === 'finished')?.loss_after ?? NaN;
    const config = { lora: { init: first } };
    const second = await runToy({ folder, output: join(folder, 'second'), config });
    const finished = second.events.find((event) => event.type === 'finished');
    expect(finished?.loss_before).toBe(after);
    expect(finished?.loss_after).not.toBe(after);

    const output = join(folder, 'resumed');
    await runToy({ folder, output, config, pauseAt: (event) => event.type === 'step' });
    await runToy({ folder, output, config });
    const [one, other] = [output, join(folder, 'second')].map((path) =>
      readFileSync(join(path, 'adapter_model.safetensors')),
    );
    expect(one && other?.equals(one)).toBe(true);
  });

  test('is refused where no adapter is trained', async () => {
    const config = { ...configOf({ init: await adapterFolder() }), method: 'full' as const };
    await expect(resolveConfig(config, folder)).rejects.toMatchObject({
      code: 'unsupported_parameter',
    });
  });
});
