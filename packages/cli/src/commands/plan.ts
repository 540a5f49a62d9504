// `corral plan`: memory, disk and time of a run before it starts. The trainer answers alone.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CorralError, trainingMethods, type RunConfigInput, type RunPlan } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import { readConfigFile } from '../config-file.ts';
import { show, type Context } from '../context.ts';
import { formatBytes, formatCount, formatFields, formatSeconds } from '../format.ts';
import { requireLocalModel } from '../local-models.ts';
import { askTrainer } from '../trainer-process.ts';

/** The peak, what it costs to reach it, and what to change where it is more than the run may use. */
function memoryFields(found: RunPlan): [string, string][] {
  const { peak_memory_bytes: peak, memory_limit_bytes: limit = Infinity } = found;
  const peakField: [string, string] = ['peak memory', `about ${formatBytes(peak)}`];
  const savings: [string, string][] = found.memory_savings
    ? [['', `to fit ${formatBytes(limit)}: ${found.memory_savings}, which is slower`]]
    : [];
  if (peak <= limit) return [peakField, ...savings];
  const advice = (found.memory_advice ?? []).map(({ change, bytes }): [string, string] => [
    '',
    `with ${change}: about ${formatBytes(bytes)}${bytes <= limit ? ', which fits' : ''}`,
  ]);
  const refusal = `more than runtime.memory_limit allows (${formatBytes(limit)}): the run would be refused`;
  return [peakField, ['', refusal], ...advice];
}

const eightBits: [string, string] = [
  'precision',
  'int8: the base is multiplied in 8-bit integers, validation is float32',
];

async function plan(context: Context, input: Input): Promise<void> {
  const model = requireLocalModel(input.arg(0));
  const train = resolve(input.requiredText('data'));
  if (!existsSync(train)) throw new CorralError('file_not_found', { params: { path: train } });
  const configPath = input.text('config');
  const sections = configPath === undefined ? {} : await readConfigFile(configPath);
  const data = { ...(sections['data'] as Partial<RunConfigInput['data']> | undefined), train };
  const method = trainingMethods.find((name) => name === input.text('method'));
  const config = { ...sections, model, data, ...(method !== undefined && { method }) };
  const found = await askTrainer<RunPlan>(context, 'plan', config);
  const text = formatFields(
    [
      ['method', found.method],
      ...(found.precision === 'int8' ? [eightBits] : []),
      [
        'parameters',
        `${formatCount(found.trainable_parameters)} trainable of ${formatCount(found.base_parameters)}`,
      ],
      ['steps', formatCount(found.total_steps)],
      ['tokens', formatCount(found.tokens)],
      ...memoryFields(found),
      ['disk', `about ${formatBytes(found.disk_bytes)}`],
      ['time', `about ${formatSeconds(found.seconds)} on this machine`],
    ],
    context.io.colors.dim,
  );
  show(context, found, text);
}

export const planCommand: CommandSpec = {
  name: 'plan',
  summary: 'say what a training run will need, before it starts',
  args: [{ name: 'BASE', description: 'a GGUF file, a folder of safetensors, or "rehearsal"' }],
  options: [
    { flags: '--data FILE', description: 'training examples', required: true },
    {
      flags: '--method METHOD',
      description: 'how to train; goes before the method of --config',
      choices: trainingMethods,
    },
    { flags: '--config FILE', description: 'sections of a run configuration (YAML)' },
  ],
  examples: [
    { command: 'corral plan ./model.gguf --data train.jsonl', says: 'memory, disk, time' },
    {
      command: 'corral plan ./model.gguf --data train.jsonl --method qlora',
      says: 'the same for a base in 4 or 8 bits',
    },
    { command: 'corral plan rehearsal --data train.jsonl --json', says: 'for a script' },
  ],
  failure: 'The plan could not be made.',
  run: plan,
};
