// `corral status`: what runs on this machine.
import type { CommandSpec } from '../command-spec.ts';
import { connect, show } from '../context.ts';
import { formatBytes, formatFields, formatSeconds, formatTable } from '../format.ts';

export const statusCommand: CommandSpec = {
  name: 'status',
  summary: 'show what runs: server, database, engines, jobs',
  examples: [
    { command: 'corral status', says: 'is the server up, and what does it do' },
    { command: 'corral status --json', says: 'the same for a script' },
  ],
  failure: 'The status could not be read.',
  async run(context) {
    const client = await connect(context);
    const status = await client.status();
    const { bold, dim, green, yellow } = context.io.colors;
    const { engines, jobs, database } = status;
    const fields = formatFields(
      [
        ['server', `${client.baseUrl}  ${status.ready ? green('ready') : yellow('starting')}`],
        ['version', `${status.version}, process ${status.pid}`],
        ['up for', formatSeconds(status.uptime_seconds)],
        ['home', status.home],
        ['database', `${database.kind} ${database.version}`],
        ['jobs', `${jobs.running} running, ${jobs.queued} queued`],
        ['evidence', `${status.evidence.size} entries`],
      ],
      dim,
    );
    const table =
      engines.length === 0
        ? dim('no engine is loaded; one starts with the first request')
        : formatTable(
            ['ENGINE', 'STATE', 'ADAPTERS', 'ACTIVE', 'QUEUED', 'MEMORY'],
            engines.map((engine) => [
              engine.base,
              engine.state,
              engine.adapters,
              engine.active,
              engine.queued,
              formatBytes(engine.memory_bytes),
            ]),
            bold,
          );
    show(context, status, `${fields}\n\n${table}`);
  },
};
