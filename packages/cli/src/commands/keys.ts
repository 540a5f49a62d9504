// `corral keys`: API keys of the server. A key's secret is shown once, when it is made.
import { keyScopes, type KeyScope } from '@corral/contracts';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { UsageError } from '../failures.ts';
import { formatTable, formatTime } from '../format.ts';

function scopesOf(text: string | undefined): readonly KeyScope[] | undefined {
  if (text === undefined) return undefined;
  return text.split(',').map((word) => {
    const scope = keyScopes.find((known) => known === word.trim());
    if (scope !== undefined) return scope;
    throw new UsageError(
      `"${word.trim()}" is not a scope.`,
      `Use one or more of ${keyScopes.join(', ')}, with commas between.`,
    );
  });
}

const secondsPerDay = 86_400;

async function create(context: Context, input: Input): Promise<void> {
  const days = input.number('expires', { min: 1 / secondsPerDay, max: 36_500 });
  const scopes = scopesOf(input.text('scopes'));
  const made = await (
    await connect(context)
  ).keys.create({
    name: input.requiredText('name'),
    ...(scopes && { scopes }),
    ...(days !== undefined && { expiresInSeconds: Math.round(days * secondsPerDay) }),
  });
  const { green, dim } = context.io.colors;
  show(
    context,
    made,
    `${made.key}\n${green('✓')} ${made.id} may: ${made.scopes.join(', ')}\n  ${dim('Keep the key now: it is not shown again.')}`,
  );
}

async function list(context: Context): Promise<void> {
  const keys = await (await connect(context)).keys.list();
  const now = Date.now() / 1000;
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.hint,
    key.scopes.join(','),
    key.revoked_at !== null
      ? 'revoked'
      : key.expires_at !== null && key.expires_at < now
        ? 'expired'
        : 'valid',
    formatTime(key.created_at),
    key.last_used_at === null ? null : formatTime(key.last_used_at),
  ]);
  const head = ['KEY', 'NAME', 'HINT', 'SCOPES', 'STATE', 'CREATED', 'LAST USED'];
  show(context, keys, formatTable(head, rows, context.io.colors.bold));
}

async function revoke(context: Context, input: Input): Promise<void> {
  const id = input.arg(0);
  await (await connect(context)).keys.revoke(id);
  show(context, { id, revoked: true }, `${context.io.colors.green('✓')} ${id} is revoked`);
}

export const keysCommand: CommandSpec = {
  name: 'keys',
  summary: 'create, list and revoke API keys',
  examples: [
    { command: 'corral keys create --name my-app', says: 'a key for an application' },
    { command: 'corral keys list', says: 'who has one' },
  ],
  failure: 'The keys could not be read.',
  subcommands: [
    {
      name: 'create',
      summary: 'make a key and show it, once',
      options: [
        { flags: '--name TEXT', description: 'whom or what it is for', required: true },
        { flags: '--scopes LIST', description: `of ${keyScopes.join(', ')}; commas between` },
        { flags: '--expires DAYS', description: 'when it stops to work; never if not given' },
      ],
      examples: [
        {
          command: 'corral keys create --name my-app --scopes inference --expires 30',
          says: 'may only ask models, for a month',
        },
      ],
      failure: 'The key was not created.',
      run: create,
    },
    {
      name: 'list',
      summary: 'list keys, without their secrets',
      examples: [{ command: 'corral keys list', says: 'names, scopes, last use' }],
      failure: 'The keys could not be listed.',
      run: list,
    },
    {
      name: 'revoke',
      summary: 'make a key useless, at once',
      args: [{ name: 'ID', description: 'a key of "corral keys list"' }],
      examples: [{ command: 'corral keys revoke key_…', says: 'for good' }],
      failure: 'The key was not revoked.',
      run: revoke,
    },
  ],
};
