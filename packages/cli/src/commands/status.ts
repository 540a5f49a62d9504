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
    // Others get no word about the machine.
    const isOperator = status.pid !== 0;
    const fields = formatFields(
      [
        ['server', `${client.baseUrl}  ${status.ready ? green('ready') : yellow('starting')}`],
        ['version', isOperator ? `${status.version}, process ${status.pid}` : status.version],
        ['up for', formatSeconds(status.uptime_seconds)],
        ['jobs', `${jobs.running} running, ${jobs.queued} queued`],
        ...(isOperator
          ? ([
              ['home', status.home],
              ['database', `${database.kind} ${database.version}`],
              ['evidence', `${status.evidence.size} entries`],
            ] as const)
          : []),
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
    show(context, status, isOperator ? `${fields}\n\n${table}` : fields);
  },
};
