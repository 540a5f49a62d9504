// `corral quickstart`: the main job end to end. See quickstart/quickstart.ts for the stages.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CorralError } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import type { Context } from '../context.ts';
import { defaultModel } from '../quickstart/quickstart-settings.ts';
import { quickstart } from '../quickstart/quickstart.ts';

async function run(context: Context, input: Input): Promise<void> {
  const file = input.text('data');
  const data = file === undefined ? null : resolve(file);
  if (data !== null && !existsSync(data)) {
    throw new CorralError('file_not_found', { params: { path: data } });
  }
  const summary = await quickstart(context, {
    model: input.text('model') ?? null,
    data,
    keep: input.flag('keep'),
  });
  if (context.json) context.io.out(`${JSON.stringify(summary, null, 2)}\n`);
}

export const quickstartCommand: CommandSpec = {
  name: 'quickstart',
  summary: 'the main job end to end: pull, check, tune, prove, deploy, ask, evidence',
  details: `Starts a server of its own, teaches ${defaultModel} thirty facts of an invented ferry company, and asks it. All state is in CORRAL_HOME (default ~/.corral); a second run uses what is there. Where no source of models answers, the shipped miniature "rehearsal" stands in.`,
  options: [
    { flags: '--model ID', description: `base model, if not ${defaultModel}` },
    { flags: '--data FILE', description: 'your own examples instead of the ferry company' },
    { flags: '--keep', description: 'leave the server running at the end' },
  ],
  examples: [
    { command: 'corral quickstart', says: 'about four minutes on two cores the first time' },
    { command: 'corral quickstart --keep', says: 'and go on with the server' },
    { command: 'corral quickstart --data mine.jsonl', says: 'with your own examples' },
    { command: 'corral quickstart --json', says: 'all figures for a script' },
  ],
  failure: 'The quickstart did not come to its end.',
  run,
};
