// `corral deploy`: give a model a name that clients use; list, go back, take away.
import type { Deployment } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { formatTable, formatTime } from '../format.ts';

const say = (context: Context, deployment: Deployment, text: string): void =>
  show(context, deployment, `${context.io.colors.green('✓')} ${text}`);

async function deploy(context: Context, input: Input): Promise<void> {
  const client = await connect(context);
  const made = await client.deployments.create({
    model: input.arg(0),
    alias: input.text('alias'),
  });
  say(
    context,
    made,
    `${made.model} answers as "${made.name}"\n  Ask it: corral chat ${made.name} "Hello"`,
  );
}

async function list(context: Context): Promise<void> {
  const all = await (await connect(context)).deployments.list();
  const rows = all.map(({ name, model, base, previous_model, created_at }) => [
    name,
    model,
    base,
    previous_model,
    formatTime(created_at),
  ]);
  const head = ['NAME', 'MODEL', 'BASE', 'BEFORE', 'SINCE'];
  const none = 'Nothing is deployed. Deploy a model with "corral deploy MODEL".';
  show(context, all, all.length === 0 ? none : formatTable(head, rows, context.io.colors.bold));
}

async function rollback(context: Context, input: Input): Promise<void> {
  const back = await (await connect(context)).deployments.rollback(input.arg(0));
  say(context, back, `"${back.name}" answers with ${back.model} again`);
}

async function remove(context: Context, input: Input): Promise<void> {
  const name = input.arg(0);
  await (await connect(context)).deployments.delete(name);
  show(context, { name, deleted: true }, `${context.io.colors.green('✓')} "${name}" is gone`);
}

const nameArgument = { name: 'NAME', description: 'a name of "corral deploy list"' };

export const deployCommand: CommandSpec = {
  name: 'deploy',
  summary: 'put a model behind the OpenAI API, list, roll back, remove',
  args: [{ name: 'MODEL', description: 'a model of "corral models list"' }],
  options: [{ flags: '--alias NAME', description: 'the name clients send, if not its own' }],
  examples: [
    { command: 'corral deploy ft:… --alias ferry', says: 'clients ask for "ferry"' },
    { command: 'corral deploy rollback ferry', says: 'back to the model before' },
  ],
  failure: 'The deployment did not change.',
  run: deploy,
  subcommands: [
    {
      name: 'list',
      summary: 'list what is deployed',
      examples: [{ command: 'corral deploy list', says: 'names, models, since when' }],
      failure: 'The deployments could not be listed.',
      run: list,
    },
    {
      name: 'rollback',
      summary: 'go back to the model that had the name before',
      args: [nameArgument],
      examples: [{ command: 'corral deploy rollback ferry', says: 'at once, without a restart' }],
      failure: 'The deployment was not rolled back.',
      run: rollback,
    },
    {
      name: 'rm',
      summary: 'take a name away; the model stays',
      args: [nameArgument],
      examples: [{ command: 'corral deploy rm ferry', says: 'clients get "not found"' }],
      failure: 'The deployment was not removed.',
      run: remove,
    },
  ],
};
